"""The limits on time: what is held against them, and how `toastlab bench --bars` asks again.

Nothing is timed here; `make bars` does that.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toastlab.bench.bars import HARD_LIMITS, bars
from toastlab.bench.config import BenchConfig
from toastlab.bench.measure import IMAGE_BY_IMAGE
from toastlab.bench.medoids import HARD, KMEDOIDS, ROOF
from toastlab.bench.text import load_bench
from toastlab.cli import bench as cli_bench
from toastlab.cli import main as cli


def measurement(**figures: float) -> dict[str, Any]:
    """A measurement in which every limit is held, but for `figures`."""
    of = {
        "toast": 1.02,
        "dlb": 2.3,
        "bake": 4.1,
        "mlp": 1.1,
        "path": 30.0,
        "roof": 0.7,
        "kmedoids": 4.5,
    }
    of |= figures
    methods = [{"method": "cross-entropy", "time_ratio": 1.0}]
    methods += [{"method": m, "time_ratio": of[m]} for m in ("toast", "dlb", "bake")]
    ways = [("toastlab", 1.0), (ROOF, of["roof"]), (KMEDOIDS, of["kmedoids"])]
    paths = [("batched on the device", 1.0), (IMAGE_BY_IMAGE, of["path"])]
    return {
        "facts": {"clock": "none"},
        "methods": methods,
        "mlp": [{"method": m, "step_ratio": r} for m, r in (("toast", of["mlp"]), ("dlb", 9.0))],
        "data": [{"images": "1 x 28 x 28", "path": p, "time_ratio": r} for p, r in paths],
        "medoids": [{"logits": "few", "way": w, "time_ratio": r} for w, r in ways],
    }


def test_the_stored_measurement_keeps_every_limit() -> None:
    held = bars(load_bench())
    assert len(held) >= 9
    assert all(bar.held for bar in held), [bar.row() for bar in held if not bar.held]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("toast", 1.031, "TOAST / cross-entropy"),
        ("dlb", 1.8, "DLB / TOAST"),
        ("bake", 2.9, "slowest peer / TOAST"),
        ("mlp", 1.151, "a step of the MLP"),
        ("path", 9.9, "one by one / batched"),
        ("roof", 0.59, "torch.mm of all pairs / ours"),
        ("kmedoids", 3.9, "kmedoids on them / ours"),
    ],
)
def test_each_limit_can_be_broken(name: str, value: float, what: str) -> None:
    broken = [bar for bar in bars(measurement(**{name: value})) if not bar.held]
    assert [what in bar.what for bar in broken] == [True]
    assert broken[0].row()["verdict"] == "BROKEN"
    assert all(bar.held for bar in bars(measurement()))


@pytest.mark.parametrize("logits", HARD)
def test_where_the_bound_fails_there_is_a_limit_of_its_own(logits: str) -> None:
    for more, held in ((0.01, True), (-0.01, False)):
        ratio = HARD_LIMITS[logits] + more
        ways = [("toastlab", 1.0), (ROOF, 0.3), (KMEDOIDS, ratio)]
        rows = [{"logits": f"{logits}: 1 x 2 x 3", "way": w, "time_ratio": r} for w, r in ways]
        (bar,) = bars({"medoids": rows})
        assert bar.held is held


def test_what_was_left_out_has_no_limit() -> None:
    assert bars({}) == []
    sections = {bar.section for bar in bars({"medoids": measurement()["medoids"]})}
    assert sections == {"medoids"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> tuple[list[dict[str, Any]], list[tuple[str, ...]]]:
    """Measurements to come, and the sections that were asked for."""
    planned: list[dict[str, Any]] = []
    sections: list[tuple[str, ...]] = []

    def measure(config: BenchConfig, device: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
        sections.append(config.sections)
        found = planned.pop(0)
        yield from ((s, 1, {k: found[k] for k in ("facts", s)}) for s in config.sections[:1])
        yield config.sections[-1], 1, {k: found[k] for k in ("facts", *config.sections)}

    monkeypatch.setattr(cli_bench, "measure", measure)
    return planned, sections


Asked = tuple[list[dict[str, Any]], list[tuple[str, ...]]]


def test_a_broken_section_is_measured_again(
    asked: Asked, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    planned, sections = asked
    planned += [measurement(roof=0.1), measurement()]
    cli.main(["bench", "--device", "cpu", "--bars"])
    assert sections == [("methods", "mlp", "data", "medoids"), ("medoids",)]
    out = capsys.readouterr().out
    assert "held" in out
    assert "BROKEN" not in out


def test_a_limit_broken_three_times_is_an_error(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    planned, sections = asked
    planned += [measurement(toast=1.2)] * 3
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", "--device", "cpu", "--bars"])
    assert stop.value.code == 1
    assert len(sections) == 3
    assert "BROKEN" in capsys.readouterr().out


def test_for_another_program_it_prints_json_and_nothing_else(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    asked[0].append(measurement())
    cli.main(["bench", "--device", "cpu", "--bars", "--stdout"])
    assert set(json.loads(capsys.readouterr().out)) == {
        "facts",
        "methods",
        "mlp",
        "data",
        "medoids",
    }


def test_without_bars_nothing_is_asked_again(asked: Asked) -> None:
    planned, sections = asked
    planned += [measurement(toast=1.2)]
    cli.main(["bench", "--device", "cpu", "--sections", "methods", "data"])
    assert sections == [("methods", "data")]
