"""SELC, ELR, Zipf's label smoothing, GCE and SCE: their formulas written down again in float64,
their gradients, what SELC and ELR remember, mixed images, and where each becomes cross-entropy.
"""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

from tests.helpers import tiny
from tests.methods.test_official import EPOCHS, Pair
from tests.methods.test_peers import ce, hot, kl, soft, weights
from toastlab.core.stream import Batch
from toastlab.methods import (
    CrossEntropyConfig,
    ElrConfig,
    GceConfig,
    Method,
    MethodConfig,
    Plan,
    SceConfig,
    SelcConfig,
    ZipfConfig,
)
from toastlab.methods.elr import Elr
from toastlab.methods.selc import Selc

Floats = NDArray[np.float64]
B, K = 16, 4
WITH_MEMORY: dict[str, MethodConfig] = {"selc": SelcConfig(start=0.25), "elr": ElrConfig()}


def logits_of(seed: int = 0, scale: float = 3.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """[B, K], some of them right."""
    g = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(B, K, generator=g, dtype=torch.float64)).to(dtype)


def built(config: MethodConfig, epochs: int = EPOCHS) -> Method:
    """On the labels of 64 blobs, in a run of so many epochs."""
    method: Method = config.build(tiny().train.labels, K, B)
    method.setup(nn.Identity(), torch.zeros(2, 1, 8, 8), Plan(epochs))
    return method


def batch_of(method: Method, first: int = 0, weight: float = 1.0) -> Batch:
    """Samples first .. first + B - 1; with a weight below 1, mixed with the one before."""
    index = torch.arange(first, first + B)
    batch = method._batch(index, torch.zeros(B, 1, 8, 8))
    if weight < 1:
        batch.partner, batch.weight = index.roll(1), torch.full((B,), weight)
        batch.partner_labels = method.labels[batch.partner]
    return batch


def rows_of(method: Method) -> Tensor:
    """[N, K]: what SELC or ELR remembers; 0 for others."""
    if isinstance(method, (Selc, Elr)):
        return method.memory.rows
    return torch.zeros(len(method.labels), K)


def gradient(method: Method, z: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """The loss and its gradient by the logits."""
    z = z.clone().requires_grad_()
    total = method.loss(z, batch).total
    total.backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    return total.detach(), z.grad


# --- the formulas, slowly, of one batch that has been seen before ---------------------------------


def oracle_selc(rows: Floats, batch: Batch, z: Tensor) -> float:
    return ce(0.9 * rows + 0.1 * soft(z), z)


def oracle_elr(rows: Floats, batch: Batch, z: Tensor) -> float:
    total = 0.0
    for row, p in zip(rows, np.clip(soft(z), 1e-4, 1 - 1e-4), strict=True):
        t = 0.7 * row + 0.3 * p / p.sum()
        total += math.log(1 - sum(a * b for a, b in zip(t, p, strict=True)))
    return ce(hot(batch.labels), z) + 3 * total / len(z)


def oracle_zipf(all_ranks: bool, only_right: bool) -> Callable[[Floats, Batch, Tensor], float]:
    def oracle(rows: Floats, batch: Batch, z: Tensor) -> float:
        found = []
        for row, y in zip(z.numpy(), batch.labels.tolist(), strict=True):
            if only_right and row.argmax() != y:
                continue
            others = [c for c in range(K) if c != y]
            ranks = (
                rankdata(-row, method="min")[others]
                if all_ranks
                else rankdata(-row[others], method="min")
            )
            law = (1 / ranks) / (1 / ranks).sum()
            found.append(kl(law[None], torch.from_numpy(row[others])[None]))
        assert 0 < len(found) < len(z) or not only_right
        return ce(hot(batch.labels), z) + 0.1 * float(np.mean(found))

    return oracle


def oracle_gce(rows: Floats, batch: Batch, z: Tensor) -> float:
    right = soft(z)[range(B), batch.labels.numpy()]
    return float(np.mean([(1 - p**0.7) / 0.7 for p in right]))


def oracle_sce(rows: Floats, batch: Batch, z: Tensor) -> float:
    total = 0.0
    for p, y in zip(soft(z), hot(batch.labels), strict=True):
        total -= sum(a * math.log(max(b, 1e-4)) for a, b in zip(p, y, strict=True))
    return 0.1 * ce(hot(batch.labels), z) + total / len(z)


ORACLES: dict[str, tuple[MethodConfig, Callable[[Floats, Batch, Tensor], float]]] = {
    "selc": (SelcConfig(start=0), oracle_selc),
    "elr": (ElrConfig(), oracle_elr),
    "zipf": (ZipfConfig(), oracle_zipf(True, True)),
    "zipf others": (ZipfConfig(ranks="others"), oracle_zipf(False, True)),
    "zipf all samples": (ZipfConfig(only_right=False), oracle_zipf(True, False)),
    "gce": (GceConfig(), oracle_gce),
    "sce": (SceConfig(), oracle_sce),
}


@pytest.mark.parametrize(("config", "oracle"), ORACLES.values(), ids=ORACLES.keys())
def test_loss_against_a_slow_oracle(config: MethodConfig, oracle: Any) -> None:
    method = built(config)
    for seed in (1, 2):  # what was said at two visits before
        method.update(logits_of(seed, dtype=torch.float32), batch_of(method))
    batch, z = batch_of(method), logits_of(3)
    rows = rows_of(method)[batch.index].double().numpy()
    found = float(method.loss(z, batch).total)
    assert found == pytest.approx(oracle(rows, batch, z), rel=1e-5)
    half = float(method.loss(z.to(torch.bfloat16), batch).total)
    assert half == pytest.approx(found, rel=0.05)


@pytest.mark.parametrize(("config", "oracle"), ORACLES.values(), ids=ORACLES.keys())
def test_gradient_against_finite_differences(config: MethodConfig, oracle: Any) -> None:
    """Of the formula with its targets held: what the network said teaches, and is not taught."""
    method = built(config)
    method.update(logits_of(1, 1.0, torch.float32), batch_of(method))
    batch, z = batch_of(method), logits_of(3, 1.0)
    found = gradient(method, z, batch)[1]
    said = soft(z)
    rows = rows_of(method)[batch.index].double().numpy()

    def held(shifted: Tensor) -> float:
        if isinstance(method, Selc):
            return ce(0.9 * rows + 0.1 * said, shifted)
        if isinstance(method, Elr):
            t, p = 0.7 * rows + 0.3 * said, soft(shifted)
            return ce(hot(batch.labels), shifted) + 3 * float(np.log(1 - (t * p).sum(1)).mean())
        return float(oracle(rows, batch, shifted))

    for i, k in ((0, 0), (0, 1), (3, 3), (7, 2), (12, 0)):
        step = torch.zeros_like(z)
        step[i, k] = 1e-6
        slope = (held(z + step) - held(z - step)) / 2e-6
        assert float(found[i, k]) == pytest.approx(slope, rel=1e-3, abs=2e-6), (i, k)


# --- four epochs beside the public code's way, written down again ---------------------------------


def test_selc_is_the_official_formula_for_four_epochs() -> None:
    """Plain for one epoch of four; then a table of soft labels takes in every prediction."""
    pair = Pair(SelcConfig(start=0.25), n=64, k=5, b=16)
    labels = nn.functional.one_hot(pair.data.labels, 5).double()

    def loss(said: Tensor, batch: Batch, epoch: int) -> Tensor:
        if epoch < 1:
            return nn.functional.cross_entropy(said, batch.labels)
        labels[batch.index] = 0.9 * labels[batch.index] + 0.1 * said.detach().double().softmax(1)
        return -(said.double().softmax(1).log() * labels[batch.index]).sum(1).mean().float()

    pair.run(loss)
    moved = labels - nn.functional.one_hot(pair.data.labels, 5)
    assert float(moved.abs().sum(1).min()) > 0.05
    torch.testing.assert_close(rows_of(pair.method).double(), labels, atol=1e-5, rtol=1e-5)


def test_elr_is_the_official_formula_for_four_epochs() -> None:
    """Targets from 0; the clamped prediction, which is no distribution any more, in the product."""
    pair = Pair(ElrConfig(), n=64, k=5, b=16)
    target = torch.zeros(64, 5, dtype=torch.float64)

    def loss(said: Tensor, batch: Batch, epoch: int) -> Tensor:
        p = said.double().softmax(1).clamp(1e-4, 1 - 1e-4)
        now = p.detach()
        target[batch.index] = 0.7 * target[batch.index] + 0.3 * now / now.sum(1, keepdim=True)
        regulariser = (1 - (target[batch.index] * p).sum(1)).log().mean()
        return nn.functional.cross_entropy(said, batch.labels) + 3 * regulariser.float()

    pair.run(loss)
    torch.testing.assert_close(rows_of(pair.method).double(), target, atol=1e-5, rtol=1e-5)


# --- what is remembered ---------------------------------------------------------------------------


@pytest.mark.parametrize("config", WITH_MEMORY.values(), ids=WITH_MEMORY.keys())
def test_mixed_images_are_not_remembered(config: MethodConfig) -> None:
    method = built(config, epochs=1)  # SELC corrects from the second epoch on
    method.end_epoch()
    before = rows_of(method).clone()
    method.update(logits_of(), batch_of(method, weight=0.7))
    assert torch.equal(rows_of(method), before)
    method.update(logits_of(), batch_of(method, first=32))
    moved = (rows_of(method) != before).any(1)
    assert moved[32:48].all()
    assert not moved[:32].any()
    assert not moved[48:].any()


def test_targets_of_mixed_images_are_mixed() -> None:
    """SELC's and ELR's of what each of the two is remembered by; GCE's and SCE's of two losses."""
    z, hots = logits_of(3), hot(tiny().train.labels[:B])
    mixed_labels = 0.7 * hots + 0.3 * np.roll(hots, 1, 0)

    def of(config: MethodConfig) -> tuple[float, Floats]:
        method = built(config)
        method.update(logits_of(1, dtype=torch.float32), batch_of(method))
        rows = rows_of(method).double().numpy()
        mixed = 0.7 * rows[:B] + 0.3 * np.roll(rows[:B], 1, 0)
        return float(method.loss(z, batch_of(method, weight=0.7)).total), mixed

    found, t = of(SelcConfig(start=0))
    assert found == pytest.approx(ce(t, z), rel=1e-5)
    assert np.abs(t - mixed_labels).max() > 0.01
    found, t = of(ElrConfig())
    p = np.clip(soft(z), 1e-4, 1 - 1e-4)
    wanted = ce(mixed_labels, z) + 3 * np.log(1 - (t * p).sum(1)).mean()
    assert found == pytest.approx(wanted, rel=1e-5)
    for config in (GceConfig(), SceConfig()):
        method = built(config)
        own, other = batch_of(method), batch_of(method)
        other.labels = other.partner_labels = other.labels.roll(1)
        one, two = (float(method.loss(z, batch).total) for batch in (own, other))
        assert of(config)[0] == pytest.approx(0.7 * one + 0.3 * two, rel=1e-5)


@pytest.mark.parametrize("config", WITH_MEMORY.values(), ids=WITH_MEMORY.keys())
def test_memory_goes_into_a_checkpoint(config: MethodConfig) -> None:
    """Saved in the middle and loaded into one built anew: the same losses, to the bit."""
    method = built(config)
    for epoch in range(2):
        method.update(logits_of(epoch), batch_of(method))
        method.end_epoch()
    again = built(config)
    again.load_state_dict(copy.deepcopy(method.state_dict()))
    assert {"memory.rows"} <= method.state_dict().keys()
    for seed in (7, 8):
        batch, z = batch_of(method), logits_of(seed)
        one, two = (m.loss(z, batch).total for m in (method, again))
        assert torch.equal(one, two)
        assert not torch.equal(one, built(config).loss(z, batch).total)
        method.update(z, batch)
        again.update(z, batch)
    assert method.states("rows").keys() >= {"memory.rows"}


@pytest.mark.parametrize(
    ("start", "epochs", "wanted"),
    [(0.2, 200, 40), (0.2, 30, 6), (0.07, 100, 7), (0.2, 2, 1), (0, 5, 0), (1, 5, 5)],
)
def test_when_selc_begins_to_correct(start: float, epochs: int, wanted: int) -> None:
    """The default is 40 of 200 epochs, its source's; any start above 0 leaves one epoch alone."""
    method = built(SelcConfig(start=start), epochs)
    assert isinstance(method, Selc)
    for _ in range(wanted):
        assert float(method.keep) == 1
        method.end_epoch()
    assert float(method.keep) == pytest.approx(0.9)


def test_labels_stay_as_they_are_until_selc_corrects() -> None:
    method, plain = built(SelcConfig()), built(CrossEntropyConfig())
    assert isinstance(method, Selc)
    hard = torch.eye(K)[method.labels]
    batch, z = batch_of(method), logits_of(dtype=torch.float32)
    assert torch.equal(method.loss(z, batch).total, plain.loss(z, batch).total)
    method.update(z, batch)
    assert torch.equal(method.memory.rows, hard)
    assert torch.equal(method.targets(batch), hard[:B])
    method.end_epoch()
    method.update(z, batch)
    wanted = 0.9 * hard[:B] + 0.1 * z.softmax(1)
    torch.testing.assert_close(method.targets(batch), wanted)
    assert torch.equal(method.memory.rows[B:], hard[B:])


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        SelcConfig(start=1),
        SelcConfig(start=0, keep=1),
        ElrConfig(weight=0),
        ZipfConfig(weight=0),
        GceConfig(exponent=1e-6),
        SceConfig(weight=1, reverse_weight=0),
    ],
    ids=lambda c: str(c),
)
def test_where_a_method_is_cross_entropy(config: MethodConfig) -> None:
    plain = weights(CrossEntropyConfig())
    torch.testing.assert_close(weights(config), plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("config", [ElrConfig(), ZipfConfig(), GceConfig(), SceConfig()])
def test_else_it_is_not(config: MethodConfig) -> None:
    assert float((weights(config) - weights(CrossEntropyConfig())).abs().max()) > 1e-3


def test_gce_between_cross_entropy_and_absolute_error() -> None:
    z, batch = logits_of(), batch_of(built(GceConfig()))
    p = soft(z)[range(B), batch.labels.numpy()]
    assert float(built(GceConfig(exponent=1)).loss(z, batch).total) == pytest.approx((1 - p).mean())
    found = [float(built(GceConfig(exponent=q)).loss(z, batch).total) for q in (1, 0.7, 0.3, 1e-9)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(-np.log(p).mean(), rel=1e-5)


@pytest.mark.parametrize("config", [SelcConfig(start=0), ElrConfig(), ZipfConfig(), GceConfig()])
def test_probabilities_that_are_0_in_float32(config: MethodConfig) -> None:
    """A label with a logit gap of 300: the loss is finite, and so is its gradient."""
    method = built(config)
    batch = batch_of(method)
    z = torch.zeros(B, K)
    z[torch.arange(B), (batch.labels + 1) % K] = 300
    total, slopes = gradient(method, z, batch)
    assert torch.isfinite(total)
    assert torch.isfinite(slopes).all()
    z = torch.zeros(B, K)
    z[torch.arange(B), batch.labels] = 300
    total, slopes = gradient(method, z, batch)
    assert torch.isfinite(total)
    assert torch.isfinite(slopes).all()


def test_elr_has_no_slope_beyond_its_clamp() -> None:
    """As the public code: a probability of almost 1 is not pushed further by the second term."""
    method = built(ElrConfig(weight=1000))
    batch = batch_of(method)
    z = torch.zeros(B, K)
    z[torch.arange(B), batch.labels] = 20
    found = gradient(method, z, batch)[1]
    torch.testing.assert_close(found, gradient(built(CrossEntropyConfig()), z, batch)[1])


def test_elr_of_a_prediction_that_is_sure() -> None:
    """Of four classes the clamp makes 0.9999 and three times 0.0001, 1.0002 in all: they are in the
    product; what is remembered of them is divided by that sum."""
    method = built(ElrConfig())
    assert isinstance(method, Elr)
    batch = batch_of(method)
    z = torch.zeros(B, K)
    z[torch.arange(B), batch.labels] = 20
    t = 0.3 / 1.0002
    product = t * (0.9999**2 + 3 * 0.0001**2)
    regulariser = float(method.loss(z, batch).parts["regulariser"])
    assert regulariser == pytest.approx(math.log(1 - product), rel=1e-5)
    method.update(z, batch)
    rows = method.memory.rows[:B]
    own = torch.eye(K)[batch.labels].bool()
    torch.testing.assert_close(rows[own], torch.full((B,), 0.9999 * t), atol=0, rtol=1e-5)
    torch.testing.assert_close(rows[~own], torch.full((3 * B,), 0.0001 * t), atol=0, rtol=1e-3)


def test_zipfs_ranks_with_ties_and_few_classes() -> None:
    method = built(ZipfConfig(weight=1))
    batch = batch_of(method)
    z = torch.zeros(B, K)
    z[torch.arange(B), batch.labels] = 1.0  # the others are equal: all share rank 2
    plain = built(CrossEntropyConfig()).loss(z, batch).total
    torch.testing.assert_close(method.loss(z, batch).total, plain)
    for config in (ZipfConfig(), ZipfConfig(ranks="others")):  # logits that lie by columns
        method, z = built(config), logits_of()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            columns = method.loss(z.T.contiguous().T, batch).total
        torch.testing.assert_close(columns, method.loss(z, batch).total)
    two = ZipfConfig(weight=1).build(torch.arange(8) % 2, 2, 4)
    small = two._batch(torch.arange(4), torch.zeros(4, 1))
    z = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert float(two.loss(z, small).parts["distillation"]) == 0, "one other class has it all"


def test_zipf_teaches_right_predictions_only() -> None:
    """Their other classes, that is: the label's logit has the gradient of cross-entropy."""
    method, plain = built(ZipfConfig(weight=1)), built(CrossEntropyConfig())
    batch, z = batch_of(method), logits_of()
    more = gradient(method, z, batch)[1] - gradient(plain, z, batch)[1]
    right = z.argmax(1) == batch.labels
    assert 0 < int(right.sum()) < B
    assert (more[~right] == 0).all()
    own = torch.nn.functional.one_hot(batch.labels, K).bool()
    assert more[own].abs().max() < 1e-12
    assert (more[~own].view(B, K - 1)[right].abs().sum(1) > 1e-3).all()
    wrong = -z.abs() - 1
    wrong[torch.arange(B), (batch.labels + 1) % K] = 1
    assert float(method.loss(wrong, batch).parts["distillation"]) == 0, "none is right"


def test_zipf_refuses_mixed_images() -> None:
    method = ZipfConfig().build(tiny().train.labels, K, B)
    with pytest.raises(ValueError, match="Zipf cannot be trained on mixed images: set mix to none"):
        method.setup(nn.Identity(), torch.zeros(2, 1, 8, 8), Plan(mixes=True))
