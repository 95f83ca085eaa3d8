"""Settings on odd cases: every field, the axes of sweeps as text, and configs that were stored."""

import json
import math
from dataclasses import MISSING, fields, replace
from typing import Any, get_args

import torch
from hypothesis import strategies as st

from tests.properties.fuzz import Draw, Refused, attempt, fuzz, some
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.methods import CONFIGS, MethodConfig, Plan, Toast
from toastlab.store.names import from_json, run_key, to_json
from toastlab.studies.space import Axis, drawn, grid, parse, settings, with_point
from toastlab.studies.sweep import Search, Sweep, label
from toastlab.training.config import TrainConfig, make_optimizer, make_schedule

KINDS: dict[str, type] = {
    "train": TrainConfig,
    "data": DataConfig,
    "augment": AugmentConfig,
    "plan": Plan,
    **CONFIGS,
}
WORDS = ("", "none", "mixup", "all", "carry", "mean", "linear", "grey", "adamw", "step", "bf16")
NUMBERS = (0, 1, 2, 3, 64, -1, 2**31, 2**70, 0.0, 0.5, 1.0, -0.5, 1e-300, 1e300)
ODD: tuple[Any, ...] = (
    math.nan,
    math.inf,
    -math.inf,
    True,
    False,
    None,
    b"x",
    [0.5],
    (0.5,),
    (),
    {},
    1j,
)
VALUE = st.one_of(st.sampled_from([*NUMBERS, *WORDS, *ODD]), st.integers(), st.floats(), st.text())


def plain(kind: type) -> list[str]:
    return [f.name for f in fields(kind) if f.default is not MISSING]


@fuzz(*KINDS.values(), part=6)
def test_every_field_is_taken_or_refused_by_name(draw: Draw) -> None:
    kind = KINDS[some(draw, sorted(KINDS))]
    names = plain(kind)
    for each in KINDS.values():
        assert attempt(each) == each()
    if not names or draw(st.integers(0, 4)) == 0:
        assert attempt(kind) == kind()
        return
    name, value = some(draw, names), draw(VALUE)
    found = attempt(kind, **{name: value})
    default = getattr(kind(), name)
    if isinstance(found, Refused):
        words = name.replace("_", " ")
        near = {"divide by": "divisor", "name": "data set", "noise": "label noise"}.get(
            words, words
        )
        said = found.why.lower()
        assert any(w in said for w in (words, near, name, "weights add", "needs source")) or (
            words.rstrip("s") in said
        ), said
        return
    assert isinstance(value, type(default)) or (
        isinstance(default, float) and type(value) is int
    ), (name, value)
    assert not (isinstance(value, float) and math.isnan(value))
    assert getattr(found, name) is value


@fuzz(to_json, from_json, run_key)
def test_stored_configs(draw: Draw) -> None:
    config = TrainConfig(method=CONFIGS[some(draw, sorted(CONFIGS))]())
    text = json.dumps(attempt(to_json, config))
    assert attempt(from_json, json.loads(text)) == config
    key = attempt(run_key, config, "x")
    assert key == attempt(run_key, from_json(json.loads(text)), "x") != run_key(config, "y")
    stored: Any = json.loads(text)
    part = stored[some(draw, ("data", "method", "augment"))] if draw(st.booleans()) else stored
    name = some(draw, [*sorted(part), "other"])
    if draw(st.booleans()):
        gone = part.pop(name, None)
        found = attempt(from_json, stored)
        if not isinstance(found, Refused):  # an older run, before that field was there
            assert gone is None or name not in ("data", "method", "augment")
            assert isinstance(found, TrainConfig)
        return
    value = draw(st.one_of(VALUE, st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)))
    part[name] = value
    found = attempt(from_json, stored)
    if not isinstance(found, Refused):
        assert name != "other"
        again = attempt(to_json, found)
        assert attempt(from_json, json.loads(json.dumps(again))) == found
    odd: tuple[Any, ...] = ([], 3, None, "x", {}, {"method": 3}, {"method": {"name": []}})
    for bad in odd:
        assert isinstance(attempt(from_json, bad), Refused)


TEXT = st.one_of(
    st.text(max_size=12),
    st.text("0123456789.,:elogrutfasni-+_ ", max_size=14),
    st.sampled_from(
        [
            *("0..1", "log:0.1..1", "0,1,2", "nan", "inf", "1e999..2", "0..nan", "..", "log:", ","),
            *("true,false", "0..1..2", "1..0", "cosine,manhattan", "٣,4", "log:0..1", "5,5"),
            *("9" * 400 + "..2", "9" * 5000, "1" + "0" * 400, "1.." + "9" * 400, "2..3"),
        ]
    ),
)
BASE = TrainConfig()
NAMES = [*settings(BASE), "seed", "threads", "data.path", "data", "nothing", "data.nothing", "x.y"]


@fuzz(parse, Axis, Axis.at, Axis.rounded, settings, part=3)
def test_axes(draw: Draw) -> None:
    name, text = some(draw, NAMES), draw(TEXT)
    methods = some(draw, ((), ("toast",), ("toast", "ols"), ("nothing",)))
    assert name in attempt(settings, BASE) or name in NAMES[-7:]
    assert attempt(Axis("x", low=0.1, high=0.2).rounded, 0.15) == 0.15
    axis = attempt(parse, name, text, BASE, methods)
    if isinstance(axis, Refused):
        return
    again = attempt(Axis, axis.name, axis.values, axis.low, axis.high, axis.log, axis.whole)
    assert again == axis
    share = some(draw, (0.0, 0.3, 0.999999, 1.0, -0.1, math.nan))
    value = attempt(axis.at, share)
    assert isinstance(value, Refused) == (not 0 <= share < 1)
    if isinstance(value, Refused):
        return
    if axis.values:
        assert value in axis.values
    else:
        assert axis.low <= value <= axis.high
        assert isinstance(value, int) == axis.whole
        assert axis.low <= attempt(axis.rounded, value) <= axis.high


@fuzz(with_point, grid, drawn, Sweep, Sweep.points, Sweep.jobs, label, part=2)
def test_points(draw: Draw) -> None:
    point = {some(draw, [*NAMES, "method"]): draw(VALUE) for _ in range(draw(st.integers(0, 2)))}
    found = attempt(with_point, BASE, point)
    if not isinstance(found, Refused):
        for name, value in point.items():
            *part, last = name.replace("-", "_").split(".")
            owners = [getattr(found, part[0])] if part else [found, found.method]
            seen = [getattr(o, last) for o in owners if hasattr(o, last) and last != "method"]
            assert value in seen or (name == "method" and found.method.name == value)
    axes = [
        Axis("learning-rate", low=0.01, high=0.1, log=True),
        Axis("medoid-weight", (0.0, 0.5)),
        Axis("epochs", low=1, high=9, whole=True),
    ][: draw(st.integers(0, 3))]
    listed = attempt(grid, axes[1:2])
    assert listed == ([{"medoid-weight": v} for v in (0.0, 0.5)] if axes[1:2] else [{}])
    assert isinstance(attempt(grid, axes), Refused) == bool(axes)
    search, trials = some(draw, ("random", "sobol", "other")), draw(st.integers(-1, 9))
    seed = draw(st.integers(-1, 2**31))
    points = attempt(drawn, axes, search, trials, seed)
    sound = search != "other" and trials >= 1 and seed >= 0 and axes
    assert isinstance(points, Refused) == (not sound)
    if sound:
        assert len(points) <= trials
        assert points == drawn(axes, search, trials, seed)
        assert all(0.01 <= p["learning-rate"] <= 0.1 for p in points)
    how = {"search": some(draw, (*get_args(Search), "other")), "seeds": draw(st.integers(-1, 3))}
    how |= {"trials": trials, "search_seed": seed}
    sweep = attempt(Sweep, BASE, tuple(axes if draw(st.booleans()) else axes[1:2]), **how)
    if not isinstance(sweep, Refused):
        assert how["seeds"] >= 1
        made = attempt(sweep.points)
        jobs = attempt(sweep.jobs, made)
        assert len(jobs) == len(made) * how["seeds"]
        assert [attempt(label, p) for p in made] == [j.setting for j in jobs[: len(made)]]


@fuzz(make_optimizer, make_schedule, part=0.5)
def test_optimizer_and_schedule(draw: Draw) -> None:
    epochs, steps = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    config = replace(
        BASE,
        epochs=epochs,
        optimizer=some(draw, ("sgd", "adamw")),
        schedule=some(draw, ("cosine", "step", "constant")),
        learning_rate=draw(st.floats(1e-6, 10)),
        momentum=draw(st.floats(0, 0.99)),
        nesterov=draw(st.booleans()),
        weight_decay=draw(st.floats(0, 1)),
        warmup_epochs=draw(st.floats(0, epochs)),
        decay=draw(st.floats(0.01, 1)),
        milestones=tuple(draw(st.lists(st.floats(0, 1), max_size=3))),
    )
    optimizer = attempt(make_optimizer, config, torch.nn.Linear(2, 2))
    schedule = attempt(make_schedule, config, optimizer, steps)
    for _ in range(epochs * steps):
        rate = schedule.get_last_lr()[0]
        assert 0 <= rate <= config.learning_rate * (1 + 1e-9)
        optimizer.step()
        schedule.step()


@fuzz(*(c.build for c in CONFIGS.values()), part=2)
def test_methods_are_built_or_refused(draw: Draw) -> None:
    kind = CONFIGS[some(draw, sorted(CONFIGS))]
    assert issubclass(kind, MethodConfig)
    for each in CONFIGS.values():
        attempt(each().build, torch.arange(4), 4, 4)
    k, b = draw(st.integers(-1, 4)), draw(st.one_of(st.integers(-2, 24), st.just(4.0)))
    n = draw(st.integers(0, 9))
    y = torch.tensor([draw(st.integers(0, 3)) for _ in range(n)], dtype=torch.int64)
    dtype = some(draw, (torch.int64, torch.int64, torch.int64, torch.float32, torch.int32))
    method = attempt(kind().build, y.to(dtype), k, b)
    sound = k >= 1 and isinstance(b, int) and b >= 2 and not b % 2 and dtype == torch.int64
    sound = sound and (not n or int(y.max()) < k) and (kind.name != "bake" or not b % 4)
    assert isinstance(method, Refused) == (not sound)
    if sound:
        assert method.table.shape == (k, k)
        assert bool(torch.isfinite(method.table).all())
        assert isinstance(method, Toast) == (kind.name == "toast")
