"""The study of readings: names, race, final and claims, on small cells and made-up rows."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.methods.test_toast import same
from toastlab.analysis.statistics import BASELINE, paired_p
from toastlab.core.errors import DataError
from toastlab.methods import ToastConfig
from toastlab.studies import reading_claims, reading_pool, readings
from toastlab.studies.arms import PEERS
from toastlab.studies.catalogue import ReadingsOptions
from toastlab.studies.reading_pool import BEFORE, LITERAL, canonical, label_of, pool, reading_of
from toastlab.studies.readings import HEADLINE, HELD_OUT, RACE, ROLES, ReadingCell, score
from toastlab.studies.study import Progress, Work

SMALL = ReadingCell("mlp", 100, 0.2, 2)


def test_names_stand_for_readings() -> None:
    entered = pool(111)
    assert len(set(entered)) == len({label_of(r) for r in entered}) == 111
    assert entered[:2] == [LITERAL, BEFORE]
    assert pool(20) == entered[:20]
    for reading in entered:
        assert reading_of(label_of(reading)) == reading
    assert label_of(LITERAL) == "literal"
    assert label_of(replace(LITERAL, past_weight=3.0, keep_carry=True)) == (
        "past-weight 3, keep-carry true"
    )
    for wrong in ("", "past-weight", "past weight 3", "distance euklid", "seed 3"):
        with pytest.raises(ValueError, match=r"no reading|unknown|is ''|give a"):
            reading_of(wrong)


def test_every_setting_of_a_name_is_written_down() -> None:
    """Else a reading would change its meaning when a default of TOAST changes."""
    source = Path(reading_pool.__file__).read_text("utf-8")
    body = source[source.index("LITERAL = ") : source.index("BEFORE = ")]
    changes_nothing = {"medoid_memory"}
    only_elsewhere = {"replay", "mixed_carry"}  # a control of its own; for Mixup and CutMix
    for field in fields(ToastConfig):
        if field.name not in changes_nothing | only_elsewhere:
            assert f"    {field.name}=" in body, field.name


def test_the_final_is_on_cells_that_the_race_did_not_see() -> None:
    race, final = (
        {(c.model, c.images, c.noise, c.noise_rate) for c in x} for x in (RACE, HELD_OUT)
    )
    assert not race & final
    assert HEADLINE in HELD_OUT
    for cells in (RACE, HELD_OUT):
        assert len({cell.name for cell in cells}) == len(cells)
        assert {cell.model for cell in cells} == {"mlp", "resnet-small"}
        assert {cell.noise for cell in cells} == {"symmetric", "pairwise"}
        assert any(cell.noise_rate == 0 for cell in cells)
        assert any(cell.augmented for cell in cells)


@pytest.mark.parametrize(
    "changes",
    [
        {"past_weight": 0.0, "criterion": "quantile", "share": 0.5, "source": "memory"},
        {"past_weight": 0.0, "carried_loss": "target", "layout": "extra", "max_visits": 3},
        {"medoid_weight": 0.0, "prototype": "mean", "distance": "cosine", "scope": "all"},
        {"medoid_weight": 0.0, "no_candidate": "last-medoid", "refresh_every": 2},
        {"source": "memory", "layout": "extra", "max_visits": 3, "keep_carry": True},
        {"carried_loss": "target", "past_weight": 0.4, "divide_by": "batch"},
        {"share": 0.5, "fit_from": 0.3, "fit_full": 0.9},
        {"prototype": "uniform", "medoid_temperature": 3.0, "no_candidate": "last-medoid"},
    ],
)
def test_what_has_no_effect_has_no_name(changes: dict[str, Any]) -> None:
    reading = replace(LITERAL, **changes)
    assert canonical(reading) != reading
    same(reading, canonical(reading))


def race_rows(**gains: list[float]) -> pd.DataFrame:
    """Readings with these gains in top-1 points, one per cell; the rest is as cross-entropy's."""
    rows = []
    for name, values in {BASELINE: [0.0] * 2, **gains}.items():
        for cell, value in enumerate(values):
            at = {"reading": name, "cell": str(cell), "seed": 0}
            rows.append(at | {"val_top1": 0.7 + value / 100, "val_nll": 1.0, "val_ece": 0.1})
    return pd.DataFrame(rows)


def test_score_caps_gains_and_counts_losses_three_times() -> None:
    found = score(race_rows(steady=[2.0, 2.0], huge=[9.0, 0.0], harm=[9.0, -2.5], gone=[9.0]))
    assert found.to_dict() == pytest.approx(
        # top-1 is half of the weight; 5 points are the scale
        {"steady": 0.5 * 0.4, "huge": 0.5 * 0.5, "harm": 0.5 * (1 - 1.5) / 2, "gone": -np.inf}
    )
    assert list(found.index)[-1] == "gone"
    better = race_rows(one=[0.0, 0.0])
    better.loc[better.reading == "one", "val_nll"] = 0.95
    assert score(better)["one"] == pytest.approx(0.25 * 0.5)


def drain(steps: Iterator[Progress]) -> list[Progress]:
    return list(steps)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    held = (replace(SMALL, noise_rate=0.4), replace(SMALL, noise="pairwise"))
    monkeypatch.setattr(readings, "RACE", (SMALL, replace(SMALL, noise_rate=0.0)))
    monkeypatch.setattr(readings, "HELD_OUT", held)
    monkeypatch.setattr(readings, "PEERS", PEERS[:1])


def test_race_and_final(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ReadingsOptions(readings=6, rounds=2, finalists=2, seeds=2)
    work = Work(tmp_path / "runs", tmp_path / "out", workers=1)
    work.out.mkdir()
    seen = drain(readings.steps(options, work))
    race, final = (pd.read_csv(work.path(name)) for name in ("race", "final"))
    assert seen[0].text.startswith("race, round 1: 1 of 14")
    first, second = (race[race["round"] == n] for n in (0, 1))
    assert first.groupby("cell").reading.nunique().tolist() == [7, 7]
    assert second.groupby("cell").reading.nunique().tolist() == [4, 4]
    ranked = score(first)
    assert set(second.reading) == {BASELINE, *ranked.index[:3]}
    assert set(second.seed) == {1}
    standing = score(race[race.reading.isin(second.reading)])
    finalists = {"literal", label_of(BEFORE), *standing.index[:2]}
    assert set(final[final.role == "whole"].reading) == {BASELINE, *finalists}
    assert set(final[final.role == "peer"].reading) == set(PEERS[:1])
    for name in finalists:
        mine = final[final.reading == name]
        assert mine.groupby("role").size().to_dict() == dict.fromkeys(ROLES, 4)
    # from the tables alone nothing is trained again, and they come out the same
    monkeypatch.setattr(Work, "train", _trains_nothing)
    elsewhere = replace(work, store=tmp_path / "empty")
    drain(readings.steps(options, elsewhere))
    pd.testing.assert_frame_equal(pd.read_csv(work.path("race")), race)
    pd.testing.assert_frame_equal(pd.read_csv(work.path("final")), final)
    # and the loader holds every row to the run that its names stand for
    monkeypatch.setattr(readings, "embedded", lambda name: work.out)
    for which, table in (("race", race), ("final", final)):
        pd.testing.assert_frame_equal(readings.load(which), table)
        table.loc[3, "seed"] = 7
        table.to_csv(work.path(which), index=False)
        with pytest.raises(DataError, match="no longer match"):
            readings.load(which)


def _trains_nothing(self: Work, jobs: Any, text: str, **more: Any) -> Any:
    assert not jobs
    return {}
    yield


def final_rows(top1: dict[str, float], seeds: int = 6) -> pd.DataFrame:
    """Made-up rows: mean top-1 of each role of one reading, of cross-entropy and of two peers."""
    random, rows = np.random.default_rng(0), []
    for cell in HELD_OUT[:3]:
        for seed in range(seeds):
            luck = random.normal(0, 0.01)
            for role, mean in top1.items():
                peer = role.startswith("peer")
                reading = role if peer else BASELINE if role == BASELINE else "literal"
                kind = "peer" if peer else "whole" if role == BASELINE else role
                at = {"reading": reading, "role": kind, "cell": cell.name, "seed": seed}
                value = mean + luck + random.normal(0, 0.001)
                worse = {"test_nll": 1.1 if reading == "literal" else 1.0, "test_ece": 0.1}
                rows.append(at | {"run": "-", "test_top1": value} | worse)
    return pd.DataFrame(rows)


TOP1 = {
    BASELINE: 0.7,
    "whole": 0.75,
    "stage 1 alone": 0.74,
    "stage 2 alone": 0.72,
    "random carry": 0.75,
    "class mean": 0.77,
    "uniform": 0.74,
    "peer one": 0.72,
    "peer two": 0.73,
}


def test_claims_are_paired_and_corrected() -> None:
    rows = final_rows(TOP1)
    found = reading_claims.pairs(rows)
    assert len(found) == len(reading_claims.CLAIMS) * 3
    at = found[found.cell == HEADLINE.name].set_index("claim")
    verdicts = {
        **dict.fromkeys(("cross-entropy", "stage 1", "stage 2", "uniform", "best peer"), "holds"),
        **{"mean": "fails", "NLL": "fails", "random": "open", "ECE": "open"},
    }
    assert at.verdict.to_dict() == verdicts
    assert at.rival["best peer"] == "peer two"
    assert at.rival["NLL"] == BASELINE
    one = rows[(rows.cell == HEADLINE.name)].pivot_table("test_top1", "seed", ["reading", "role"])
    gain = one["literal", "whole"] - one["literal", "stage 2 alone"]
    assert at.gain["stage 2"] == pytest.approx(gain.mean())
    assert at.p["stage 2"] == pytest.approx(paired_p(gain.tolist()))
    assert (found.p_holm >= found.p).all()
    assert at.gain["NLL"] == pytest.approx(-0.1)


def test_counts_put_harm_first() -> None:
    rows = final_rows(TOP1)
    other = rows[rows.reading == "literal"].assign(reading="past-weight 3", test_nll=1.0)
    weaker = other.role == "whole"
    other.loc[weaker, "test_top1"] -= 0.02
    both = pd.concat([rows, other])
    best = reading_claims.counts(reading_claims.pairs(both))
    assert list(best.reading) == ["past-weight 3", "literal"]  # no harm, but fewer claims
    assert best.harm.tolist() == [0, 3]
    assert best.claims[0] < best.claims[1] == 5
    text = reading_claims.table(both).set_index("reading")
    gain = float(text["mean"]["literal"].split(" [")[0])
    assert gain == pytest.approx(-2.0, abs=0.11)
    assert text["mean"]["literal"].endswith("], 0 / 3")


def test_a_reading_that_diverged_says_so() -> None:
    rows = final_rows(TOP1)
    gone = (rows.role == "whole") & (rows.reading == "literal") & (rows.seed == 2)
    found = reading_claims.pairs(rows[~(gone & (rows.cell == HEADLINE.name))])
    at = found[found.cell == HEADLINE.name]
    assert set(at.verdict) == {"diverged"}
    assert at.p.isna().all()
    assert reading_claims.counts(found).harm[0] >= 3
    assert "diverged" in set(reading_claims.table(rows[~gone]).iloc[0])


def test_two_seeds_judge_nothing() -> None:
    rows = final_rows(TOP1, seeds=2)
    assert set(reading_claims.pairs(rows).verdict) == {"open"}
    assert "no claim is judged yet" in "\n".join(
        reading_claims._lines(rows, rows.assign(reading="x"))
    )
    assert "judged yet" not in "\n".join(
        reading_claims._lines(final_rows(TOP1), rows.assign(reading="x"))
    )


def test_the_default_is_the_reading_that_the_stored_rows_put_first() -> None:
    """Least harm, then most claims: the rule that stood before the final was read."""
    best = reading_claims.counts(reading_claims.pairs(readings.load("final")))
    assert best.reading[0] == label_of(canonical(ToastConfig()))
    assert best.harm[0] == 0
    assert best.claims[0] == best.claims.max()
    assert (best.losses >= best.harm).all()
