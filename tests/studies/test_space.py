"""Names of settings, axes as they are written, points: deterministic, in bounds, evenly spread."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.methods import CONFIGS, ToastConfig
from toastlab.studies.space import Axis, drawn, grid, parse, settings, with_point
from toastlab.training.config import TrainConfig

BASE = TrainConfig(data=DataConfig(name="digits"), epochs=3)


@pytest.mark.parametrize(
    ("point", "wanted"),
    [
        ({"learning-rate": 0.2}, replace(BASE, learning_rate=0.2)),
        ({"epochs": 7}, replace(BASE, epochs=7)),
        ({"model": "resnet-small"}, replace(BASE, model="resnet-small")),
        ({"channels-last": False}, replace(BASE, channels_last=False)),
        ({"data.noise-rate": 0.2}, replace(BASE, data=DataConfig(name="digits", noise_rate=0.2))),
        ({"augment.mix": "mixup"}, replace(BASE, augment=AugmentConfig(mix="mixup"))),
        ({"medoid-weight": 0.6}, replace(BASE, method=ToastConfig(medoid_weight=0.6))),
        ({"method": "bake"}, replace(BASE, method=CONFIGS["bake"]())),
        ({}, BASE),
    ],
)
def test_settings_of_every_part(point: dict[str, Any], wanted: TrainConfig) -> None:
    assert with_point(BASE, point) == wanted


def test_settings_of_several_parts_at_once() -> None:
    point: dict[str, Any] = {
        "medoid-weight": 0.6,
        "data.noise-rate": 0.1,
        "data.per-class": 5,
        "momentum": 0.5,
    }
    made = with_point(BASE, point)
    assert (made.method, made.momentum) == (ToastConfig(medoid_weight=0.6), 0.5)
    assert made.data == DataConfig(name="digits", noise_rate=0.1, per_class=5)
    # each of these alone is refused
    both = with_point(BASE, {"carried_loss": "target", "past-weight": 0.4, "medoid-weight": 0.6})
    assert isinstance(both.method, ToastConfig)
    tuned = replace(BASE, method=ToastConfig(past_weight=0.5))
    assert with_point(tuned, {"method": "toast"}).method == tuned.method, "the base's settings stay"


def test_every_setting_can_be_an_axis() -> None:
    for config in CONFIGS.values():
        base = replace(BASE, method=config())
        for name, kind in settings(base).items():
            part, _, last = name.rpartition(".")
            owner: Any = getattr(base, part) if part else base
            field = last.replace("-", "_")
            owner = owner if hasattr(owner, field) else base.method
            point = {name: config.name if name == "method" else getattr(owner, field)}
            assert isinstance(point[name], kind), name
            assert with_point(base, point) == base, name
    assert "learning-rate" in settings(BASE)
    assert "seed" not in settings(BASE)


@pytest.mark.parametrize(
    ("name", "text", "axis"),
    [
        ("medoid-weight", "0,0.3", Axis("medoid-weight", (0.0, 0.3))),
        ("medoid_weight", " 0 , 1 ", Axis("medoid-weight", (0.0, 1.0))),
        ("epochs", "1,2", Axis("epochs", (1, 2))),
        ("augment.flip", "true,false", Axis("augment.flip", (True, False))),
        ("method", "toast,bake", Axis("method", ("toast", "bake"))),
        ("momentum", "0..0.9", Axis("momentum", low=0, high=0.9)),
        ("learning-rate", "log:1e-3..0.1", Axis("learning-rate", low=0.001, high=0.1, log=True)),
        ("epochs", "2..4", Axis("epochs", low=2, high=4, whole=True)),
    ],
)
def test_axes_as_they_are_written(name: str, text: str, axis: Axis) -> None:
    assert parse(name, text, BASE) == axis
    assert [type(v) for v in parse(name, text, BASE).values] == [type(v) for v in axis.values]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("medod-weight", "0,1", "unknown setting of toast 'medod-weight'. Did you mean 'medoid-w"),
        ("noise-rate", "0,1", "Did you mean 'data.noise-rate'"),
        ("seed", "0,1", "seed cannot be an axis: give --seeds"),
        ("data.path", "a,b", "data.path cannot be an axis"),
        ("medoid-weight", "0,high", "'high', which is not a number"),
        ("epochs", "1,1.5", "'1.5', which is not an integer"),
        ("augment.flip", "yes", "'yes', which is not true or false"),
        ("medoid-weight", "0,,1", "'', which is not a number"),
        ("medoid-weight", "0,0", "a value twice"),
        ("momentum", "0.9..0", "from 0.9 to 0; give LOW..HIGH"),
        ("momentum", "0..inf", "from 0 to inf"),
        ("learning-rate", "log:0..1", "must begin above 0"),
        ("learning-rate", "log:0.1,1", "is not LOW..HIGH"),
        ("model", "mlp..vgg16", "has values, no range"),
    ],
)
def test_wrong_axes_say_what_is_wrong(name: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        parse(name, text, BASE)
    assert "\n" not in str(error.value)


def test_an_axis_must_be_a_setting_of_every_method() -> None:
    with pytest.raises(ValueError, match="unknown setting of cross-entropy 'medoid-weight'"):
        parse("medoid-weight", "0,1", BASE, ["toast", "cross-entropy"])
    assert parse("epochs", "1,2", BASE, ["toast", "cross-entropy"]).values == (1, 2)


def test_grid_is_every_combination() -> None:
    axes = [Axis("epochs", (1, 2)), Axis("model", ("a", "b", "c"))]
    points = grid(axes)
    assert points[0] == {"epochs": 1, "model": "a"}
    assert points[1] == {"epochs": 1, "model": "b"}
    assert len({tuple(p.values()) for p in points}) == 6
    with pytest.raises(ValueError, match="range of momentum"):
        grid([Axis("momentum", low=0, high=1)])


RANGES = [
    Axis("learning-rate", low=0.001, high=0.1, log=True),
    Axis("momentum", low=0.1, high=0.3),
    Axis("epochs", low=1, high=4, whole=True),
    Axis("model", ("a", "b")),
]


@pytest.mark.parametrize("search", ["random", "sobol"])
def test_drawn_points_are_in_bounds_and_always_the_same(search: str) -> None:
    points = drawn(RANGES, search, 50, 7)
    assert points == drawn(RANGES, search, 50, 7)
    assert points != drawn(RANGES, search, 50, 8)
    assert drawn(RANGES, search, 20, 7) == points[:20], "more trials go on from fewer"
    rows: dict[str, list[Any]] = {a.name: [p[a.name] for p in points] for a in RANGES}
    for axis in RANGES[:2]:
        column = np.array(rows[axis.name], dtype=float)
        assert ((column >= axis.low) & (column <= axis.high)).all()
    assert set(rows["epochs"]) == {1, 2, 3, 4}
    assert {type(v) for v in rows["epochs"]} == {int}
    assert set(rows["model"]) == {"a", "b"}


def test_log_ranges_are_even_in_the_logarithm() -> None:
    rate = Axis("learning-rate", low=0.001, high=1, log=True)
    assert [rate.at(x) for x in (0, 1 / 3, 2 / 3)] == pytest.approx([0.001, 0.01, 0.1])
    linear = Axis("learning-rate", low=0.001, high=1)
    assert linear.at(0.5) == pytest.approx(0.5005)
    counts = Axis("batch-size", low=1, high=999, log=True, whole=True)
    assert [counts.at(x) for x in (0, 1 / 3 + 1e-9, 0.999999)] == [1, 10, 999]


def test_sobol_covers_every_axis_evenly() -> None:
    points = drawn(RANGES, "sobol", 16, 0)
    rates = np.log10([float(p["learning-rate"]) for p in points])
    assert np.histogram(rates, 16, (-3, -1))[0].tolist() == [1] * 16, "one in each sixteenth"
    assert [sum(p["epochs"] == e for p in points) for e in (1, 2, 3, 4)] == [4] * 4
    assert sum(p["model"] == "a" for p in points) == 8


def test_points_that_repeat_stand_once() -> None:
    assert len(drawn([Axis("model", ("a", "b"))], "random", 30, 0)) == 2


def test_drawn_values_have_few_digits() -> None:
    for point in drawn(RANGES[:2], "random", 30, 0):
        for value in point.values():
            assert value == float(f"{value:.6g}")
    edge = Axis("momentum", low=0.12345678, high=0.123456789)
    assert all(edge.low <= float(edge.at(x)) <= edge.high for x in (0.0, 0.5, 0.99))
