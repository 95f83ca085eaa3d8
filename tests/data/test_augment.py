"""Augmentation against a loop over images, mixing against torchvision called the usual way."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2

from tests.helpers import tiny
from toastlab.core.stream import Batch, Stream
from toastlab.data.augment import Augment, AugmentConfig, Mixer, pixel_statistics
from toastlab.data.splits import Split
from toastlab.training.mixing import Mixing


def images(b: int, c: int, size: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (b, c, size, size), generator=g).to(torch.uint8)


@given(
    crop=st.integers(0, 3),
    flip=st.booleans(),
    cutout=st.integers(0, 5),
    c=st.sampled_from([1, 3]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None)
def test_against_a_loop(crop: int, flip: bool, cutout: int, c: int, seed: int) -> None:
    mean, std = (0.2, 0.3, 0.4)[:c], (0.5, 0.6, 0.7)[:c]
    augment = Augment(AugmentConfig(crop=crop, flip=flip, cutout=cutout), mean, std)
    x = images(5, c, 7, seed)
    draw = augment.draw(x, torch.Generator().manual_seed(seed))
    found = augment.apply(x, draw)
    assert found.dtype == torch.float32
    for i in range(5):
        pixels = np.pad(x[i].numpy(), ((0, 0), (crop, crop), (crop, crop)))
        top = 0 if draw.top is None else int(draw.top[i])
        left = 0 if draw.left is None else int(draw.left[i])
        one = pixels[:, top : top + 7, left : left + 7]
        if draw.flip is not None and bool(draw.flip[i]):
            one = one[:, :, ::-1]
        expected = (one / 255 - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
        if draw.centre_y is not None and draw.centre_x is not None:
            y, x0 = (int(v[i]) - cutout // 2 for v in (draw.centre_y, draw.centre_x))
            expected[:, max(0, y) : max(0, y + cutout), max(0, x0) : max(0, x0 + cutout)] = 0
        np.testing.assert_allclose(found[i].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_draws_cover_their_range_evenly() -> None:
    augment = Augment(AugmentConfig(crop=2, flip=True, cutout=3), (0.5,), (0.5,))
    draw = augment.draw(images(5000, 1, 8), torch.Generator().manual_seed(0))
    assert draw.top is not None
    assert draw.flip is not None
    assert draw.centre_x is not None
    assert torch.bincount(draw.top).min() > 850
    assert sorted(set(draw.top.tolist())) == [0, 1, 2, 3, 4]
    assert 0.46 < draw.flip.float().mean() < 0.54
    assert sorted(set(draw.centre_x.tolist())) == list(range(8))


def test_seeds_and_defaults() -> None:
    x = images(8, 1, 9)
    augment = Augment(AugmentConfig(crop=2, flip=True), (0.5,), (0.25,))
    a, b, c = (augment.train(x, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    plain = Augment(AugmentConfig(), (0.5,), (0.25,))
    assert torch.equal(plain.train(x), plain.evaluate(x))
    torch.testing.assert_close(plain.evaluate(x), (x / 255 - 0.5) / 0.25)
    torch.testing.assert_close(plain.evaluate(x / 255), plain.evaluate(x))


def test_pixel_statistics() -> None:
    x = images(5000, 3, 4)
    x[:, 2] = 7
    mean, std = pixel_statistics(x)
    scaled = x.double() / 255
    assert mean == pytest.approx(scaled.mean((0, 2, 3)).tolist())
    assert std[:2] == pytest.approx(scaled.std((0, 2, 3), correction=0).tolist()[:2])
    assert std[2] == 1.0, "no contrast: no division by zero"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": -1}, "crop is -1"),
        ({"mix": "mixp"}, "Did you mean 'mixup'"),
        ({"mix_alpha": 0}, "mix alpha is 0"),
        ({"mix_prob": 1.5}, "mix prob is 1.5"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentConfig(**options)  # type: ignore[arg-type]


def test_cutout_larger_than_the_image() -> None:
    with pytest.raises(ValueError, match="cutout is 10 pixels, but the images have 9 x 9"):
        Augment(AugmentConfig(cutout=10), (0.5,), (0.5,)).train(images(2, 1, 9))


# --- mixing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@pytest.mark.parametrize("seed", range(5))
def test_mix_equals_torchvision(kind: str, seed: int) -> None:
    x, y = torch.rand(6, 3, 8, 8), torch.arange(6) % 4
    mixer = Mixer(AugmentConfig(mix=kind, mix_prob=1.0), 4)
    state = torch.get_rng_state()
    mix = mixer.draw(x, torch.Generator().manual_seed(seed))
    assert torch.equal(torch.get_rng_state(), state)
    assert mix is not None
    lot = torch.Generator().manual_seed(seed)
    torch.rand((), generator=lot)
    inner = int(torch.randint(2**62, (), generator=lot))
    transform = {"mixup": v2.MixUp, "cutmix": v2.CutMix}[kind](alpha=1.0, num_classes=4)
    with torch.random.fork_rng():
        torch.manual_seed(inner)
        expected, targets = transform(x, y)
    torch.testing.assert_close(mixer.mix_images(mix, x, x.roll(1, 0)), expected)
    hard = torch.eye(4)
    ours = torch.lerp(hard[y.roll(1)], hard[y], mix.weight)
    torch.testing.assert_close(ours, targets)


def test_mix_probability() -> None:
    x, g = torch.zeros(2, 1, 4, 4), torch.Generator().manual_seed(0)
    mixer = Mixer(AugmentConfig(mix="mixup", mix_prob=0.25), 2)
    share = sum(mixer.draw(x, g) is not None for _ in range(800)) / 800
    assert 0.2 < share < 0.3


def mixed(carried: str, prob: float = 1.0) -> tuple[list[Batch], list[Tensor], list[Tensor]]:
    """Two batches running; the second begins with three samples of the first."""
    data = tiny()
    assert isinstance(data.train, Split)
    stream = Stream(data.train, 16)
    plain = Augment(AugmentConfig(), (0.0,), (1.0,))
    config = AugmentConfig(mix="mixup", mix_prob=prob)
    mixing = Mixing(Mixer(config, 4), carried, plain.train, seed=3)
    batches: list[Batch] = []
    before, after = [], []
    for count in (0, 3):
        places = batches[0].index[5:13] if batches else torch.zeros(8).long()
        index, raw = stream.draw(places, torch.tensor(count), 16)
        labels, ones = data.train.labels[index], torch.ones(16)
        flags = torch.arange(16) < count
        batch = Batch(index, raw, labels, flags, torch.zeros(16, 4), index * 0, index, labels, ones)
        x = plain.train(raw)
        before.append(x)
        after.append(mixing(x, batch, stream))
        batches.append(batch)
    return batches, before, after


def test_carried_stay_unmixed_by_default() -> None:
    (_, batch), before, after = mixed("unmixed")
    assert torch.equal(after[1][:3], before[1][:3])
    assert batch.weight[:3].tolist() == [1, 1, 1]
    assert torch.equal(batch.partner[:3], batch.index[:3])
    weight = float(batch.weight[5])
    assert 0 < weight < 1
    torch.testing.assert_close(after[1][5], weight * before[1][5] + (1 - weight) * before[1][4])
    assert int(batch.partner[5]) == int(batch.index[4])
    assert torch.equal(batch.partner_labels[5:], batch.labels.roll(1)[5:])


def test_carried_repeat_their_mix() -> None:
    (first, second), _, after = mixed("repeat")
    torch.testing.assert_close(after[1][:3], after[0][5:8])
    assert second.partner[:3].tolist() == first.index[4:7].tolist()
    assert torch.equal(second.weight[:3], first.weight[5:8])
    assert float(second.weight[5]) != float(first.weight[5])


def test_carried_are_mixed_anew() -> None:
    (_, batch), _, _ = mixed("stored")
    assert len(set(batch.weight.tolist())) == 1
    assert torch.equal(batch.partner, batch.index.roll(1))


def test_no_mix_no_change() -> None:
    for carried in ("unmixed", "repeat", "stored"):
        (_, batch), before, after = mixed(carried, prob=0.0)
        assert torch.equal(after[1], before[1])
        assert torch.equal(batch.partner_labels, batch.labels)
