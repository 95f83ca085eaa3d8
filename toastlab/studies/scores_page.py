"""Which score to use: the page docs/scores.md, written from the stored study of scores.

    summary   a score x noise x method x in- or out-of-sample: means and intervals over the seeds
    by_noise  the mean AUROC of a score under each kind of noise
    gains     what another training method than cross-entropy changes, paired over the seeds
    page      docs/scores.md, by `toastlab study page scores`

Before the study has been run, the page says so, and what it will ask.
"""

from collections.abc import Iterator
from textwrap import wrap

import pandas as pd

from toastlab.analysis.detection import DETECTION
from toastlab.analysis.scores import SCORES
from toastlab.analysis.statistics import BASELINE, interval, verdict
from toastlab.bench.text import markdown
from toastlab.studies.scores import AGAIN, IN, OUT, RARE_SHARE, SECOND, load, table_file

MEASURES = (*DETECTION, "auroc_rare")
WHERE = ["noise", "rate", "method", "sample"]
BAR = 0.95  # of AUROC, for AUM or better at 20 % symmetric noise
HEADLINE = ("symmetric", 0.2)
LABELS = {name: score.label for name, score in SCORES.items()} | {
    SECOND: "second-split forgetting (Maini et al., 2022)"
}
COMPARED = {IN: "aum", OUT: "margin"}  # the score by which training methods are compared
TITLE = "# How well does each score find wrong labels?"
INTRO = (
    "Made by `toastlab study page scores` from `data/scores`; nothing here is written by hand but "
    "the questions. Labels of fashion-mini are flipped on purpose: to any other class (symmetric), "
    "to the next (pairwise), or where a small network is unsure (feature-dependent), as people "
    "err. A network is trained on them, and each score of [the table](analyse.md#the-table) is "
    "asked for the wrong ones: of that training itself (in-sample), and of networks that did not "
    "see the sample (out-of-sample, folds)."
)
MEANING = (
    "**AUROC**: how often a wrong label has the more doubtful score, of all pairs of a wrong and a "
    "right one; 0.5 by chance. **Average precision**: the mean precision from the top of the list "
    "down to each wrong label; by chance the share of wrong labels. **Miss rate**: who looks at as "
    "many labels as are wrong, the most doubtful ones, misses this share of them. In brackets: "
    "95 % t intervals over the seeds."
)
RARE = (
    "Rare samples are unlike the rest of their class and yet rightly labelled: here the "
    f"{RARE_SHARE:.0%} of the right labels that networks trained on clean labels, which did not "
    "see the sample, are least sure of. A score that calls them wrong costs what one would least "
    "like to lose. AUROC of wrong against rare alone:"
)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, with 95 % t intervals.

    Args:
        rows: the table "rows" of the study.

    Returns:
        noise, rate, method, sample, score, seeds; and for each of auroc, average_precision,
        miss_rate and auroc_rare its mean, and `_low` and `_high` (NaN for one seed).
    """
    found = []
    for at, group in rows.groupby([*WHERE, "score"], sort=False):
        line = dict(zip([*WHERE, "score"], at, strict=True)) | {"seeds": len(group)}
        for name in MEASURES:
            mean, low, high = interval(group[name].tolist())
            line |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        found.append(line)
    return pd.DataFrame(found)


def by_noise(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean AUROC of each score in-sample, trained with cross-entropy.

    Returns:
        a row a score, by its name in words, the best under the first kind of noise on top; a
        column a kind of noise.
    """
    means = summary(rows)
    here = means[(means.method == BASELINE) & (means["sample"] == IN)]
    wide = here.pivot_table("auroc", "score", "noise", sort=False).rename(index=LABELS)
    return wide.sort_values(wide.columns[0], ascending=False)


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """What each training method changes in AUROC against cross-entropy, paired over the seeds.

    Returns:
        noise, rate, sample, method, score, gain, low, high, verdict: in-sample of AUM,
        out-of-sample of the margin.
    """
    found = []
    for sample, score in COMPARED.items():
        part = rows[(rows["sample"] == sample) & (rows.score == score)]
        for (noise, rate), group in part.groupby(["noise", "rate"], sort=False):
            auroc = group.pivot(index="seed", columns="method", values="auroc")
            for method in auroc.columns.drop(BASELINE, errors="ignore"):
                if BASELINE not in auroc:
                    continue
                pair = (auroc[method] - auroc[BASELINE]).dropna().tolist()
                if pair:
                    around = interval(pair)
                    said = verdict(*around, larger_is_better=True)
                    found.append((noise, rate, sample, method, score, *around, said))
    names = ["noise", "rate", "sample", "method", "score", "gain", "low", "high", "verdict"]
    return pd.DataFrame(found, columns=names)


def page() -> str:
    """docs/scores.md, from the stored tables, or without them."""
    if not table_file("rows").exists():
        return "\n".join(_not_made()) + "\n"
    return "\n".join(_lines(load("rows"), load("plane"))) + "\n"


def _not_made() -> Iterator[str]:
    yield from (TITLE, "", *wrap(INTRO, 100), "")
    yield from wrap(
        f"**The study has not been run yet**, so there are no figures here. `{AGAIN}` makes them; "
        "`toastlab study list` says how long it takes.",
        100,
    )


def _lines(rows: pd.DataFrame, plane: pd.DataFrame) -> Iterator[str]:
    means = _named(summary(rows))
    yield from (TITLE, "", *wrap(INTRO, 100), "", *wrap(MEANING, 100), "")
    yield f"{rows.seed.nunique()} seeds, the teaching MLP."
    yield ""
    yield "## Which score to use"
    yield ""
    yield from _advice(means)
    for at, part in means[means.method == BASELINE].groupby("at", sort=False):
        yield ""
        yield f"## {at} noise"
        for sample in (IN, OUT):
            if len(shown := part[part["sample"] == sample]):
                yield ""
                yield f"Trained with cross-entropy, {sample}:"
                yield ""
                yield markdown(_table(shown)).rstrip()
    yield ""
    yield "## Does another training method make wrong labels easier to find?"
    yield ""
    yield from wrap(
        "AUROC less that of cross-entropy with the same seeds: in-sample of AUM, out-of-sample of "
        "the margin.",
        100,
    )
    yield ""
    yield markdown(_gain_table(gains(rows))).rstrip()
    yield ""
    yield "## Rare or wrong?"
    yield ""
    yield from wrap(RARE, 100)
    yield ""
    yield markdown(_rare_table(means)).rstrip()
    yield ""
    yield "Means of the groups:"
    yield ""
    yield markdown(_plane_table(plane)).rstrip()


def _advice(means: pd.DataFrame) -> Iterator[str]:
    """A sentence for each noise, and one about the bar."""
    for at, part in means[means.method == BASELINE].groupby("at", sort=False):
        best = []
        for sample in (IN, OUT):
            if len(group := part[part["sample"] == sample]):
                row = _best(group)
                best.append(f"{sample} {LABELS[row.score]}, {_around(row, 'auroc')}")
        yield from wrap(
            f"- {at} noise, largest mean AUROC: {'; '.join(best)}.",
            100,
            subsequent_indent="  ",
        )
    noise, rate = HEADLINE
    here = means[(means.noise == noise) & (means.rate == rate) & (means["sample"] == IN)]
    here = here[here.method == BASELINE]
    if len(aum := here[here.score == "aum"]):
        value, top = float(aum.auroc.iloc[0]), _best(here)
        held = "reaches" if top.auroc >= BAR else "does not reach"
        yield from wrap(
            f"- The bar of AUROC {BAR:g} at {100 * rate:g} % {noise} noise: AUM has {value:.3f}; "
            f"the best score in-sample, {LABELS[top.score]}, {held} it with {top.auroc:.3f}.",
            100,
            subsequent_indent="  ",
        )


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """With a column "at": rate and kind of the noise in words."""
    pairs = zip(table.noise, table.rate, strict=True)
    return table.assign(at=[f"{100 * rate:g} % {noise}" for noise, rate in pairs])


def _best(means: pd.DataFrame) -> pd.Series:
    """The score of the largest mean AUROC, the first of equal ones."""
    return means.sort_values("auroc", ascending=False, kind="stable").iloc[0]


def _around(row: pd.Series, name: str) -> str:
    """A mean with its interval."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.3f}" + ("" if low != low else f" [{low:.3f}, {high:.3f}]")


def _table(part: pd.DataFrame) -> pd.DataFrame:
    ordered = part.sort_values("auroc", ascending=False, kind="stable")
    return pd.DataFrame(
        {
            "score": [LABELS[name] for name in ordered.score],
            **{
                title: [_around(row, name) for _, row in ordered.iterrows()]
                for name, title in zip(
                    DETECTION, ("AUROC", "average precision", "miss rate"), strict=True
                )
            },
        }
    )


def _gain_table(found: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "noise": _named(found)["at"],
            "scores": found["sample"],
            "method": found.method,
            "AUROC gained": [
                f"{g:+.3f}" + ("" if low != low else f" [{low:+.3f}, {high:+.3f}]")
                for g, low, high in zip(found.gain, found.low, found.high, strict=True)
            ],
            "verdict": found.verdict,
        }
    )


def _rare_table(means: pd.DataFrame) -> pd.DataFrame:
    """Scores of cross-entropy in-sample, a column a noise, best mean first."""
    part = means[(means.method == BASELINE) & (means["sample"] == IN)]
    part = part.assign(
        text=[_around(row, "auroc_rare") for _, row in part.iterrows()],
    )
    order = part.groupby("score", sort=False).auroc_rare.mean().sort_values(ascending=False)
    wide = part.pivot(index="score", columns="at", values="text").loc[order.index].fillna("")
    wide = wide[list(dict.fromkeys(part["at"]))]
    return wide.rename(index=LABELS).rename_axis("score").reset_index()


def _plane_table(plane: pd.DataFrame) -> pd.DataFrame:
    by = ["noise", "rate", "group"]
    means = plane.groupby(by, sort=False)[["confidence", "forgetting", SECOND]].mean()
    means = means.round(2).reset_index()
    titles = {SECOND: "forgotten in epoch of the second half"}
    return means.assign(noise=_named(means)["at"]).drop(columns="rate").rename(columns=titles)
