"""What the stored study says in tables: equal to what a loop over its rows finds."""

import statistics

import pytest

from toastlab.analysis.statistics import BASELINE
from toastlab.methods import ToastConfig
from toastlab.studies import reading_claims
from toastlab.studies.reading_gains import abstract_only, by_taught, gain, known, parts_of
from toastlab.studies.reading_pool import reading_of
from toastlab.studies.readings import HEADLINE, load

FINAL, RACE = load("final"), load("race")


def test_the_readings_of_the_kit_are_named() -> None:
    default = next(iter(known()))
    assert reading_of(default) == ToastConfig()
    assert list(known().values()) == ["the default", "TOAST confidence", "literal", "the first"]
    assert set(known()) <= set(FINAL.reading)


def test_a_gain_is_the_mean_of_paired_differences_and_above_zero_is_better() -> None:
    default = next(iter(known()))
    here = FINAL[FINAL.cell == HEADLINE.name]
    for measure, sign in (("test_top1", 100), ("test_nll", -1), ("test_ece", -100)):
        own, base = (
            dict(zip(part.seed, part[measure], strict=True))
            for part in (
                here[(here.reading == default) & (here.role == "whole")],
                here[here.reading == BASELINE],
            )
        )
        mean, low, high = gain(FINAL, default, measure=measure)
        assert mean == pytest.approx(sign * statistics.mean(own[s] - base[s] for s in own))
        assert low < mean < high
    table = parts_of(FINAL, default)
    assert tuple(table.iloc[0][["mean", "low", "high"]]) == gain(FINAL, default)
    random = tuple(table.set_index("name").loc["both, carried at random", ["mean", "low", "high"]])
    assert random == gain(FINAL, default, "random carry")


def test_what_is_taught_is_counted_over_the_first_round() -> None:
    table = by_taught(RACE)
    first = RACE[(RACE["round"] == 0) & (RACE.reading != BASELINE)]
    assert table.readings.sum() == first.reading.nunique()
    plain = RACE[(RACE["round"] == 0) & (RACE.reading == BASELINE)].set_index("cell").val_top1
    means = []
    for name, rows in first[~first.cell.str.contains("clean")].groupby("reading"):
        if reading_of(str(name)).carried_loss == "target":
            means.append(float((100 * (rows.val_top1 - rows.cell.map(plain))).mean()))
    assert table["wrong labels"]["target"] == pytest.approx(statistics.median(means))


def test_claims_of_the_abstract_only() -> None:
    found = reading_claims.pairs(FINAL)
    assert set(found.claim) - set(abstract_only(found).claim) == {"NLL", "ECE"}
