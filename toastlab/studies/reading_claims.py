"""What the abstract claims, held against every reading of it; from the stored study of readings.

    pairs   one row per reading, claim and cell: the paired difference over the seeds
    table   readings x claims, in text
    page    docs/readings.md, by `toastlab study page readings`

Holm's correction is over everything that is asked at once: all readings, claims and cells.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
import pandas as pd

from toastlab.analysis.measures import measure_of
from toastlab.analysis.statistics import BASELINE, holm, interval, paired_p
from toastlab.bench.text import markdown
from toastlab.methods import ToastConfig
from toastlab.studies.reading_pool import BEFORE, CONFIDENT, LITERAL, canonical, label_of
from toastlab.studies.readings import FIRST_SEED, HEADLINE, HELD_OUT, load

LEVEL = 0.05  # of p after correction
LEAST_SEEDS = 3  # below, nothing holds and nothing fails
SHOWN = ("gain", "low", "high")
PEER = "best peer"


@dataclass(frozen=True)
class ReadingClaim:
    """Something that is said of TOAST: it is better than `rival` in `measure`.

    Attributes:
        short: heading of its column; text: the claim in words.
        rival: a role of `ROLES`, cross-entropy, or the best peer of the cell.
        source: the abstract says so [S]; else we ask it [ours].
    """

    short: str
    text: str
    rival: str
    measure: str = "test_top1"
    source: bool = True


CLAIMS = (
    ReadingClaim("cross-entropy", "it generalises better than plain training", BASELINE),
    ReadingClaim("stage 1", "both stages are better than the first alone", "stage 1 alone"),
    ReadingClaim("stage 2", "both stages are better than the second alone", "stage 2 alone"),
    ReadingClaim("random", "targeting is better than as many samples at random", "random carry"),
    ReadingClaim("mean", "the medoid is better than the class mean", "class mean"),
    ReadingClaim("uniform", "the medoid is better than a uniform target", "uniform"),
    ReadingClaim(PEER, "it is better than the best of the other methods", PEER),
    ReadingClaim("NLL", "it is no worse calibrated: NLL", BASELINE, "test_nll", source=False),
    ReadingClaim("ECE", "it is no worse calibrated: ECE", BASELINE, "test_ece", source=False),
)
HARMS = ("cross-entropy", "NLL", "ECE")  # where losing clearly is harm


def pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Each claim of each reading in each cell: what it gains over its rival.

    Args:
        rows: the table "final" of the study.

    Returns:
        reading, claim, cell, rival; gain, low, high: mean and 95 % t interval over the seeds, in
        the measure's own unit, above 0 where the claim holds; p, p_holm; seeds; verdict: "holds",
        "fails" (after correction), "open", or "diverged" where a run of the reading is missing.
    """
    seeds = rows.seed.nunique()
    by = {key: group.set_index("seed") for key, group in rows.groupby(["reading", "role", "cell"])}
    peers = rows[rows.role == "peer"].groupby(["cell", "reading"]).test_top1.mean()
    found = []
    for reading in rows[rows.role == "whole"].reading.unique():
        if reading == BASELINE:
            continue
        for claim in CLAIMS:
            for cell in rows.cell.unique():
                rival = (reading, claim.rival)
                if claim.rival == BASELINE:
                    rival = (BASELINE, "whole")
                elif claim.rival == PEER:
                    if cell not in peers.index:
                        continue
                    rival = (str(peers[cell].idxmax()), "peer")
                empty = rows.iloc[:0].set_index("seed")
                own = by.get((reading, "whole", cell), empty)[claim.measure]
                other = by.get((*rival, cell), empty)[claim.measure]
                sign = 1 if measure_of(claim.measure).larger_is_better else -1
                gain = (sign * (own - other)).dropna().tolist()
                missing = len(own) < seeds
                numbers = (np.nan,) * 4
                if gain and not missing:
                    numbers = (*interval(gain), paired_p(gain))
                name = rival[0] if claim.rival in (PEER, BASELINE) else claim.rival
                found.append((reading, claim.short, cell, name, *numbers, len(gain), missing))
    names = ["reading", "claim", "cell", "rival", "gain", "low", "high", "p", "seeds", "missing"]
    table = pd.DataFrame(found, columns=names)
    table["p_holm"] = holm(table.p)
    sure = (table.p_holm < LEVEL) & (table.seeds >= LEAST_SEEDS)
    table["verdict"] = np.select(
        [table.missing, sure & (table.gain > 0), sure & (table.gain < 0)],
        ["diverged", "holds", "fails"],
        "open",
    )
    return table.drop(columns="missing")


def counts(found: pd.DataFrame) -> pd.DataFrame:
    """Per reading: claims that hold somewhere and fail nowhere, harm, and the mean gain.

    Args:
        found: as of `pairs`.

    Returns:
        reading, claims (how many of the abstract's), harm (cells and measures clearly worse than
        cross-entropy, or diverged), losses (the same without the correction, which protects from
        a false alarm, not from harm), gain (mean top-1 gain over cross-entropy, in points); the
        first is the one with least harm, then with most claims, then with most gain.
    """
    source = {claim.short for claim in CLAIMS if claim.source}
    rows = []
    for reading, group in found.groupby("reading", sort=False):
        held, failed = (set(group[group.verdict == v].claim) for v in ("holds", "fails"))
        against = group[group.claim.isin(HARMS)]
        harm = int(against.verdict.isin(["fails", "diverged"]).sum())
        losses = int(((against.high < 0) | (against.verdict == "diverged")).sum())
        gain = 100 * group[group.claim == CLAIMS[0].short].gain.mean()
        rows.append((reading, len((held - failed) & source), harm, losses, gain))
    table = pd.DataFrame(rows, columns=["reading", "claims", "harm", "losses", "gain"])
    return table.sort_values(
        ["harm", "claims", "gain"], ascending=[True, False, False], kind="stable"
    ).reset_index(drop=True)


def table(rows: pd.DataFrame, cell: str = HEADLINE.name) -> pd.DataFrame:
    """Readings x claims as text: the gain in one cell with its interval, and in how many of all
    cells the claim holds and fails, as "+2.1 [1.8, 2.4], 5 / 0"."""
    found = pairs(rows)
    order = counts(found)
    lines = []
    for reading in order.reading:
        line = {"reading": reading}
        for claim in CLAIMS:
            mine = found[(found.reading == reading) & (found.claim == claim.short)]
            what, at = measure_of(claim.measure), mine[mine.cell == cell]
            holds, fails = (int((mine.verdict == v).sum()) for v in ("holds", "fails"))
            text = "not run" if at.empty else "diverged"
            if at.gain.notna().any():
                gain, low, high = (what.show(float(at[k].iloc[0]), "+") for k in SHOWN)
                text = f"{gain} [{low}, {high}], {holds} / {fails}"
            line[claim.short] = text
        lines.append(line)
    return pd.DataFrame(lines).merge(order, on="reading").round({"gain": 2})


def page() -> str:
    """docs/readings.md, written from the stored tables."""
    return "\n".join(_lines(load("final"), load("race"))) + "\n"


def _lines(rows: pd.DataFrame, race: pd.DataFrame) -> Iterator[str]:
    found = pairs(rows)
    best = counts(found)
    entered = race[race.reading != BASELINE].reading.nunique()
    yield "# Which reading of the abstract does what the abstract says?"
    yield ""
    yield from wrap(
        "Made by `toastlab study page readings` from `data/readings`; nothing here is written by "
        "hand but the questions. The abstract [S] leaves open what a carried sample is taught, who "
        "is under-trained, temperatures and weights: these are our readings [R].",
        100,
    )
    yield ""
    yield from wrap(
        f"{entered} readings started in a race on the validation split of {race.cell.nunique()} "
        f"cells; {len(best)} were then trained with {rows.seed.nunique()} seeds on "
        f"{rows.cell.nunique()} cells that the race had not seen, each with its controls, and read "
        "once on the test split, in the last epoch, at equal new samples. The final begins at seed "
        f"{FIRST_SEED}: those before were looked at while readings were still added.",
        100,
    )
    yield ""
    if rows.seed.nunique() < LEAST_SEEDS:
        yield f"**Under way: with fewer than {LEAST_SEEDS} seeds no claim is judged yet.**"
        yield ""
    yield "## Claims that hold, and harm"
    yield ""
    yield from wrap(
        "Readings are numbered by least harm, then by most claims, and described by what they set "
        "otherwise than the literal one. "
        "A claim counts where it holds in some cell and fails in none. Harm: cells and measures "
        "(top-1, NLL, ECE) in which the reading is clearly worse than cross-entropy. Both after "
        f"Holm's correction over {found.p.notna().sum():,} comparisons. Losses: the same without "
        "it, for a correction that guards against false alarms can hide harm. Gain: mean top-1 "
        "gain over cross-entropy in points.",
        100,
    )
    yield ""
    numbers = {reading: f"R{i}" for i, reading in enumerate(best.reading, start=1)}
    shown = best.assign(reading=[_described(name) for name in best.reading])
    shown.insert(0, "", list(numbers.values()))
    yield markdown(shown.round({"gain": 2})).rstrip()
    yield ""
    yield from wrap(_cost(found, numbers), 100)
    yield ""
    yield from wrap(
        "Below, per cell: what a reading gains over the rival of each claim, in points (NLL: "
        "nats), with its 95 % t interval; **+** where the claim holds after the correction, **-** "
        "where it fails.",
        100,
    )
    for cell in HELD_OUT:
        if cell.name in set(rows.cell):
            yield ""
            yield f"## {cell.name}"
            yield ""
            yield markdown(_cell_table(found, cell.name, numbers)).rstrip()


def _described(reading: str) -> str:
    """A reading in words, and which of the kit's it is."""
    words = {label_of(BEFORE): "the first default", label_of(CONFIDENT): "TOAST confidence"}
    words[label_of(canonical(ToastConfig()))] = "the default"
    return f"{reading} (**{words[reading]}**)" if reading in words else reading


def _cost(found: pd.DataFrame, numbers: dict[str, str]) -> str:
    """What it costs that the default does least harm."""
    named = {
        "the default": label_of(canonical(ToastConfig())),
        "TOAST confidence": label_of(CONFIDENT),
        "the literal reading": label_of(LITERAL),
    }
    top1 = found[(found.claim == CLAIMS[0].short) & (found.cell == HEADLINE.name)]
    gains = top1.set_index("reading").gain
    said = [
        f"{name} ({numbers[reading]}) {100 * gains[reading]:+.1f}"
        for name, reading in named.items()
        if reading in numbers and reading in gains
    ]
    return (
        f"What doing least harm costs, in points gained over cross-entropy in {HEADLINE.name}: "
        f"{', '.join(said)}. The settings of the second are an arm of the comparisons."
    )


def _cell_table(found: pd.DataFrame, cell: str, numbers: dict[str, str]) -> pd.DataFrame:
    """Of each reading the gains over its rivals in a cell; bold where a claim holds or fails."""
    lines = []
    for reading, number in numbers.items():
        line = {"": number}
        for claim in CLAIMS:
            at = found[
                (found.reading == reading) & (found.claim == claim.short) & (found.cell == cell)
            ]
            if not len(at):
                continue
            what = measure_of(claim.measure)
            row = at.iloc[0]
            mark = {"holds": " **+**", "fails": " **-**", "diverged": "", "open": ""}[row.verdict]
            gain, low, high = (what.show(float(row[k]), "+") for k in SHOWN)
            text = "diverged" if np.isnan(row.gain) else f"{gain} [{low}, {high}]{mark}"
            line[f"{claim.short} ({row.rival})" if claim.rival == PEER else claim.short] = text
        lines.append(line)
    return pd.DataFrame(lines).fillna("")
