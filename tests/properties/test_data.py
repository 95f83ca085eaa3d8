"""Data sets, batches and augmentation on odd cases."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers import tiny
from tests.properties.fuzz import (
    BAD,
    Draw,
    Refused,
    attempt,
    fuzz,
    generator,
    labels_of,
    laid,
    numbers,
    some,
    spoil,
)
from toastlab.core.stream import Batch, Stream
from toastlab.data.augment import Augment, AugmentConfig, Mix, Mixer, pixel_statistics
from toastlab.data.augment import Draw as Drawn
from toastlab.data.dataset import DataConfig, Dataset, from_tensors, images_of, load
from toastlab.data.splits import Split
from toastlab.training.mixing import Mixing

PIXELS = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)


def pixels(draw: Draw, *shape: int) -> Tensor:
    x = torch.randint(256, shape, generator=generator(draw)).to(torch.uint8)
    return laid(draw, x if draw(st.booleans()) else x / 255)


@fuzz(Split, Split.batches, images_of)
def test_split(draw: Draw) -> None:
    n, k = draw(st.integers(0, 8)), draw(st.integers(1, 3))
    y = labels_of(draw, n, k)
    given: dict[str, Any] = {"images": pixels(draw, n, 2, 3, 3), "labels": y, "clean_labels": y}
    bad = some(draw, ("no", "no", "tensors", "negative", "pixel"))
    if bad == "tensors":
        spoil(draw, given)
    elif bad == "negative" and n:
        given["labels"] = y - k
    elif bad == "pixel" and n:
        given["images"] = numbers(draw, n, 2, 3, 3, kinds=BAD)
    split = attempt(Split, **given)
    if bad == "tensors" or (n and bad != "no"):
        fine = given["labels"] is given["clean_labels"]  # then the images have another dtype
        assert isinstance(split, Refused) or (fine and given["images"].dtype in PIXELS)
        return
    size = draw(st.integers(-1, 5))
    order = torch.randperm(n, generator=generator(draw)) if draw(st.booleans()) else None
    found = attempt(lambda: list(split.batches(size, order)))
    assert isinstance(found, Refused) == (size < 1)
    if size >= 1 and n:
        rows = torch.arange(n) if order is None else order
        assert torch.equal(torch.cat([x for x, _ in found]), given["images"][rows])
        assert torch.equal(torch.cat([x for _, x in found]), y[rows])
        some_rows = rows[: n // 2 + 1].numpy()
        np.testing.assert_array_equal(
            attempt(images_of, split, some_rows), given["images"][some_rows].numpy()
        )
    attempt(split.batches, 2)


@fuzz(from_tensors, Dataset, Dataset.to)
def test_from_tensors(draw: Draw) -> None:
    k, each = draw(st.integers(1, 3)), draw(st.integers(1, 20))
    y = torch.arange(k * each) % k
    x = pixels(draw, k * each, *some(draw, ((4, 4), (1, 4, 4), (3, 4, 5), (2,), ())))
    images: Any = x
    labels: Any = y.to(some(draw, (torch.int64, torch.int32, torch.uint8, torch.float32)))
    bad = some(draw, ("no", "no", "no", "fraction", "nan", "negative", "gap", "short", "complex"))
    if bad == "fraction":
        labels = y + 0.5
    elif bad == "nan":
        labels = y.float().index_fill(0, torch.tensor([0]), math.nan)
    elif bad == "negative":
        labels = y - 1
    elif bad == "gap":
        labels = y * 2 + 1
    elif bad == "short":
        labels = y[:-1]
    elif bad == "complex":
        images = x.to(torch.complex64)
    how = some(draw, ("tensor", "array", "turned", "foreign", "list"))
    if how == "array":
        images, labels = images.numpy(), labels.numpy()
    elif how == "turned":
        images, labels = images.numpy()[::-1], labels.numpy()[::-1]
    elif how == "foreign" and bad != "complex":
        images = images.numpy().astype(some(draw, (">f4", ">f8")))
    elif how == "list" and bad != "complex":
        labels = labels.tolist()
    shares = st.one_of(st.just(0.2), st.just(0.15), st.floats(-0.1, 0.6))
    val, test = draw(shares), draw(shares)
    seed = draw(st.integers(-1, 2**32))
    found = attempt(from_tensors, images, labels, val_share=val, test_share=test, seed=seed)
    if bad != "no" or x.ndim not in (3, 4) or min(val, test) <= 0 or seed < 0:
        assert isinstance(found, Refused)
        return
    if isinstance(found, Refused):  # too few for all three parts, or too large a share
        assert each < 9 or val + test > 0.5 or min(val, test) < 0.1 or seed >= 2**32
        return
    parts = (found.train, found.val, found.test)
    assert sum(map(len, parts)) == k * each
    plain = torch.as_tensor(np.ascontiguousarray(np.asarray(images)).astype(np.float64))
    rows = {tuple(v.flatten().tolist()): int(c) for v, c in zip(plain, labels, strict=True)}
    for part in parts:
        for image, c in zip(part.images.double(), part.labels.tolist(), strict=True):
            assert rows[tuple(image.flatten().tolist())] == c or each * k > len(rows)
    assert attempt(found.to, "cpu") is found
    assert isinstance(attempt(Dataset, **vars(found)), Dataset)


@fuzz(load, part=0.3)
def test_load(draw: Draw) -> None:
    """The embedded sets under all kinds of settings: what comes out is as asked."""
    options = {
        "name": "digits",
        "per_class": draw(st.integers(0, 150)),
        "noise": some(draw, ("symmetric", "pairwise", "feature-dependent")),
        "noise_rate": draw(st.floats(0, 0.99)),
        "noise_seed": draw(st.integers(0, 2**31)),
        "val_share": draw(st.floats(0.001, 0.999)),
        "split_seed": draw(st.integers(0, 2**31)),
        "size": some(draw, (0, 1, 8, 13)),
        "channels": some(draw, ("keep", "grey", "rgb")),
        "stream": draw(st.integers(0, 5)) == 0,
    }
    config = attempt(DataConfig, **options)
    data = attempt(load, config)
    if isinstance(data, Refused):
        assert config.stream or config.per_class or not 0.01 < config.val_share < 0.9
        return
    assert not config.stream
    train = data.train
    if config.per_class:
        assert torch.bincount(train.clean_labels).tolist() == [config.per_class] * 10
    assert train.images.shape[1] == (3 if config.channels == "rgb" else 1)
    assert train.images.shape[2:] == (config.size or 8,) * 2
    flipped = int((train.labels != train.clean_labels).sum())
    counts = torch.bincount(train.clean_labels)
    assert flipped == sum(round(config.noise_rate * int(c)) for c in counts)


@fuzz(
    *(Stream, Stream.draw, Stream.fetch, Stream.steps, Stream.start_epoch),
    *(Stream.state_dict, Stream.load_state_dict),
)
def test_stream(draw: Draw) -> None:
    n, b = draw(st.integers(2, 20)), draw(st.one_of(st.integers(-2, 22), st.just(2.0)))
    split = tiny(n, 2).train
    stream = attempt(Stream, split, b, draw(st.integers(0, 2**40)))
    if isinstance(b, float) or b < 2 or b % 2 or b > n:
        assert isinstance(stream, Refused)
        return
    kept = {name: x.clone() for name, x in attempt(stream.state_dict).items()}
    seen: list[list[int]] = []
    for _ in range(2):
        attempt(stream.load_state_dict, kept)
        attempt(stream.start_epoch)
        seen.append([])
        for _ in range(attempt(stream.steps, b)):
            carried = torch.randint(n, (b // 2,), generator=torch.Generator().manual_seed(n))
            count = torch.tensor(min(b // 2, len(seen[-1])))
            index, images = attempt(stream.draw, carried, count, b)
            assert torch.equal(images, split.images[index])  # type: ignore[union-attr]
            assert torch.equal(images, attempt(stream.fetch, index))
            assert index[: int(count)].tolist() == carried[: int(count)].tolist()
            seen[-1] += index[int(count) :].tolist()
    assert seen[0] == seen[1]
    assert len(set(seen[0][:n])) == len(seen[0][:n])
    one = torch.zeros((), dtype=torch.int64)
    for bad in (
        (torch.zeros(b + 1).long(), one, b),
        (torch.zeros(1), one, b),
        (one[None], one[None], b),
        (one[None], one, 0),
        ([0], one, b),
    ):
        assert isinstance(attempt(stream.draw, *bad), Refused)
    for places, share in ((0, 1.0), (-2, 1.0), (2, math.nan), (2, -1.0)):
        assert isinstance(attempt(stream.steps, places, share), Refused)
    assert isinstance(attempt(stream.fetch, torch.zeros(2)), Refused)


@fuzz(Augment, Augment.train, Augment.evaluate, Augment.draw, Augment.apply, Drawn)
def test_augment(draw: Draw) -> None:
    b, c, h, w = (draw(st.integers(0, 3)), *(draw(st.integers(1, 6)) for _ in range(3)))
    config = AugmentConfig(
        crop=draw(st.integers(0, 8)), flip=draw(st.booleans()), cutout=draw(st.integers(0, 7))
    )
    x = pixels(draw, b, c, h, w)
    mean = [draw(st.floats(-2, 2)) for _ in range(c)]
    std = [draw(st.floats(1e-3, 5)) for _ in range(c)]
    augment = attempt(Augment, config, mean, std)
    plain = attempt(augment.evaluate, x)
    wide = x.double() / (255 if x.dtype == torch.uint8 else 1)
    wanted = (wide - torch.tensor(mean).double()[:, None, None]) / torch.tensor(std).double()[
        :, None, None
    ]
    torch.testing.assert_close(plain.double(), wanted, rtol=1e-3, atol=1e-3)
    drawn = attempt(augment.draw, x, generator(draw))
    if config.cutout > min(h, w):
        assert isinstance(drawn, Refused)
        assert isinstance(attempt(augment.train, x), Refused)
        return
    assert attempt(Drawn, **vars(drawn)).flip is drawn.flip
    found = attempt(augment.apply, x, drawn)
    assert found.dtype == torch.float32
    assert attempt(augment.train, x).shape == x.shape
    black = plain.new_tensor([-m / s for m, s in zip(mean, std, strict=True)])
    for i in range(b):
        for y in range(h):
            for z in range(w):
                row, column = y, w - 1 - z if drawn.flip is not None and drawn.flip[i] else z
                if drawn.top is not None:
                    row += int(drawn.top[i]) - config.crop
                    column += int(drawn.left[i]) - config.crop
                inside = 0 <= row < h and 0 <= column < w
                pixel = plain[i, :, row, column] if inside else black
                if config.cutout:
                    top = int(drawn.centre_y[i]) - config.cutout // 2
                    left = int(drawn.centre_x[i]) - config.cutout // 2
                    if 0 <= y - top < config.cutout and 0 <= z - left < config.cutout:
                        pixel = torch.zeros(c)
                torch.testing.assert_close(found[i, :, y, z], pixel, rtol=1e-4, atol=1e-4)
    for wrong in (x[0] if b else x[:, 0], x.long(), x[:, :, 0], x.tolist()):
        assert isinstance(attempt(augment.train, wrong), Refused)
    assert isinstance(attempt(augment.evaluate, torch.zeros(1, c + 1, 2, 2)), Refused)
    for off in (([0.0] * c, [0.0] * c), ([math.nan] * c, std), (mean, [*std, 1.0]), ([], [])):
        assert isinstance(attempt(Augment, config, *off), Refused)


@fuzz(pixel_statistics)
def test_pixel_statistics(draw: Draw) -> None:
    n, c = draw(st.integers(0, 5)), draw(st.integers(1, 3))
    x = pixels(draw, n, c, 3, 4)
    found = attempt(pixel_statistics, x)
    if not n:
        assert isinstance(found, Refused)
        return
    wide = x.double() / (255 if x.dtype == torch.uint8 else 1)
    np.testing.assert_allclose(found[0], wide.mean((0, 2, 3)), atol=1e-9)
    np.testing.assert_allclose(found[1], wide.std((0, 2, 3), correction=0), atol=1e-5)
    assert isinstance(attempt(pixel_statistics, x[0]), Refused)
    assert isinstance(attempt(pixel_statistics, x.long()), Refused)


@fuzz(Mixer, Mixer.draw, Mixer.mix_images, Mix, Mixing, Mixing.start_epoch, Mixing.__call__, Batch)
def test_mixing(draw: Draw) -> None:
    kind = some(draw, ("mixup", "cutmix", "none"))
    alpha = 10.0 ** some(draw, (-40, -3, -2, -1, 0, 1, 2, 3, 4, 40))
    config = attempt(AugmentConfig, mix=kind, mix_alpha=alpha, mix_prob=draw(st.floats(0, 1)))
    assert isinstance(config, Refused) == (not 0.01 <= alpha <= 1000)
    if isinstance(config, Refused):
        return
    k = draw(st.integers(1, 4))
    mixer = attempt(Mixer, config, k)
    assert isinstance(mixer, Refused) == (kind == "none")
    if kind == "none":
        return
    split = tiny(8, 2).train
    stream = Stream(split, 4)
    augment = Augment(AugmentConfig(), [0.5], [0.5])
    carried = some(draw, ("unmixed", "repeat", "stored", "other"))
    mixing = attempt(Mixing, mixer, carried, augment.evaluate, draw(st.integers(0, 2**31)))
    if carried == "other":
        assert isinstance(mixing, Refused)
        return
    attempt(mixing.start_epoch)
    none = torch.zeros((), dtype=torch.int64)
    index, images = stream.draw(none[None], none, 4)
    y, no = stream.labels[index], torch.zeros(4, dtype=torch.bool)
    batch = attempt(
        Batch, index, images, y, no, torch.zeros(4, 2), index * 0, index, y, torch.ones(4)
    )
    plain = augment.evaluate(images)
    mixed = attempt(mixing.__call__, plain, batch, stream)
    assert bool(torch.isfinite(mixed).all())
    assert bool(((batch.weight >= 0) & (batch.weight <= 1)).all())
    assert torch.equal(batch.partner_labels, stream.labels[batch.partner])
    if kind == "mixup":
        share = batch.weight[:, None, None, None]
        wanted = share * plain + (1 - share) * augment.evaluate(split.images[batch.partner])  # type: ignore[union-attr]
        torch.testing.assert_close(mixed, wanted, rtol=1e-3, atol=1e-4)
    mix = attempt(mixer.draw, plain, generator(draw))
    if mix is not None:
        assert attempt(Mix, mix.params, mix.weight).weight == mix.weight
        found = attempt(mixer.mix_images, mix, plain, plain.flip(0))
        torch.testing.assert_close(
            found.flip(0), attempt(mixer.mix_images, mix, plain.flip(0), plain)
        )
        assert isinstance(attempt(mixer.mix_images, mix, plain, plain[:1]), Refused)
    assert replace(config).mix == kind
