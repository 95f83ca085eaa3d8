"""Every method in a loop of odd data and odd answers of a network, and the networks themselves."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from tests.properties.fuzz import Draw, Refused, attempt, fuzz, generator, labels_of, numbers, some
from toastlab.core.hooks import exits
from toastlab.core.stream import Stream
from toastlab.data.splits import Split
from toastlab.methods import CONFIGS, Plan
from toastlab.methods.bake import ensemble
from toastlab.studies import layouts as embedding
from toastlab.training.models import build, check_model, count_parameters
from toastlab.training.names import MODELS


@fuzz(*(c.build for c in CONFIGS.values()), part=2)
def test_a_loop_of_each_method(draw: Draw) -> None:
    """Losses and gradients stay finite, the bank is what was said, whatever the labels are."""
    for each in CONFIGS.values():
        attempt(each().build, torch.arange(4), 4, 4)
    k, b = draw(st.integers(1, 4)), some(draw, (4, 8))
    n = draw(st.integers(8, 13))
    y = labels_of(draw, n, k)
    config = CONFIGS[some(draw, sorted(CONFIGS))]()
    method = attempt(config.build, y, k, b, generator(draw))
    odd = numbers(draw, n, 1, 4, 4, kinds=("normal", "large", "same"))  # what the network gets
    split = Split(torch.zeros(n, 1, 4, 4), y, y)
    stream = Stream(split, b)
    model = build("mlp", k, 1, 4, seed=0)
    method.setup(model, odd[:2].contiguous(), Plan(epochs=2))
    if config.needs_teacher:
        method.set_teacher(build("mlp", k, 1, 4, seed=1))
    # ELR's second term is a logarithm of at least 1e-4, times 3
    least = 3 * np.log(1e-4) - 1e-3 if config.name == "elr" else -1e-3
    for _ in range(2):
        visits = torch.zeros(n, dtype=torch.int64)
        for batch in method.batches(stream):
            logits = method.run_model(model, odd[batch.index].contiguous(), batch)
            loss = method.loss(logits, batch)
            model.zero_grad()
            loss.total.backward()
            assert bool(torch.isfinite(loss.total))
            assert float(loss.total.detach()) >= least
            for p in model.parameters():
                assert p.grad is None or bool(torch.isfinite(p.grad).all())
            assert torch.equal(batch.labels, y[batch.index])
            method.update(logits.detach(), batch)
            shown = batch.index if config.name not in ("cs-kd", "bake") else None
            if shown is not None:
                visits += torch.bincount(shown, minlength=n)
        if config.name not in ("cs-kd", "bake"):
            assert torch.equal(method.bank.visits, visits)
        rows = method.table.sum(1)
        torch.testing.assert_close(rows, torch.ones(k), rtol=1e-4, atol=1e-4)


@fuzz(ensemble)
def test_ensemble(draw: Draw) -> None:
    b, k = draw(st.integers(2, 6)), draw(st.integers(1, 4))
    f = numbers(draw, b, 3, kinds=("normal", "same", "grid", "large"))
    p, weight = numbers(draw, b, k).double().softmax(1), draw(st.floats(0, 0.99))
    found = attempt(ensemble, f, p.float(), weight)
    unit = torch.nn.functional.normalize(f.double(), dim=1)
    near = (unit @ unit.T).masked_fill(torch.eye(b).bool(), -torch.inf).softmax(1)
    wanted = (1 - weight) * torch.linalg.inv(torch.eye(b).double() - weight * near) @ p
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-4)


@fuzz(build, check_model, count_parameters, exits, part=0.5)
def test_networks(draw: Draw) -> None:
    name = some(draw, ("mlp", "resnet-small", "nothing"))
    k, c, size = (draw(st.integers(-1, 5)) for _ in range(3))
    model = attempt(build, name, k, c, size, draw(st.integers(0, 2**40)))
    sound = name in MODELS and k >= 1 and c >= 1 and size >= (4 if name == "resnet-small" else 1)
    assert isinstance(model, Refused) == (not sound)
    good = attempt(build, "mlp", 3, 1, 4, 0)
    assert attempt(count_parameters, good) == 256 * (16 + 1 + 256 + 1 + 3) + 3
    assert attempt(exits, good) == ["2"]
    assert isinstance(attempt(exits, nn.Linear(2, 2)), Refused)
    x = numbers(draw, 2, 1, 4, 4)
    assert attempt(check_model, good, x, 3) is None
    for bad in ((x, 4), (x[:, :, :2], 3), (x.repeat(1, 2, 1, 1), 3), (x * torch.nan, 3)):
        assert isinstance(attempt(check_model, good, *bad), Refused)


@fuzz(embedding.features, embedding.pick, embedding.trustworthiness)
def test_embedding(draw: Draw) -> None:
    n, k = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    z = numbers(draw, n, k).numpy()
    kind, heat = (
        some(draw, (*embedding.FEATURES, "pixels")),
        draw(st.one_of(st.floats(-0.5, 0), st.floats(1e-6, 5))),
    )
    found = attempt(embedding.features, z, kind, heat)
    assert isinstance(found, Refused) == (kind == "pixels" or heat <= 0)
    if kind == "soft targets" and heat > 1e-3:
        np.testing.assert_allclose((found**2).sum(1), 1, rtol=1e-6)
    y = labels_of(draw, n, k).numpy()
    each = draw(st.integers(-1, 5))
    rows = attempt(embedding.pick, y, each)
    assert isinstance(rows, Refused) == (each < 1)
    if each >= 1:
        assert sorted(set(rows.tolist())) == rows.tolist()
        for c in range(k):
            assert (y[rows] == c).sum() == min(each, (y == c).sum())
    g = np.random.default_rng(0)
    x = g.normal(size=(20, 3))
    assert attempt(embedding.trustworthiness, x, x[:, :2], 5) <= 1
    for bad in ((x, x[:-1], 5), (x, x, 0), (x, x, 15)):
        assert isinstance(attempt(embedding.trustworthiness, *bad), Refused)
