"""The source's claims, each held against the stored comparison: supported, not supported or open.

A page of text made from `data/peers` by one command, `toastlab study page peers`; nothing in it is
written by hand but the questions.
"""

from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from toastlab.analysis.statistics import BASELINE, differences, holm
from toastlab.bench.text import load_bench, markdown
from toastlab.studies.arms import ARMS, PEERS
from toastlab.studies.peers import AUGMENTED, MAIN, MIXED, NOISE, PAIRWISE, load
from toastlab.studies.report import summary
from toastlab.studies.rows import select
from toastlab.studies.tuning import TRIALS

TOAST = "TOAST"
# What TOAST is made of, and what each part is held against
PARTS = (BASELINE, "label smoothing", *(name for name in ARMS if name.startswith(TOAST)))
LEVEL = 0.05  # of p after correction
PLAIN = ("defaults", tuple(NOISE))
SEARCHED = ("tuned", tuple(NOISE))
BLENDED = ("augmented", tuple(f"{name}, {how}" for name in MIXED for how in AUGMENTED))


@dataclass(frozen=True)
class Claim:
    """A claim, and the comparisons that could bear it out: `first` minus each of `others`.

    Attributes:
        where: parts of the table and their settings to look at.
        costs: it is about time, not accuracy.
    """

    title: str
    question: str
    first: str = TOAST
    others: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[str, ...]], ...] = (PLAIN,)
    costs: bool = False


CLAIMS = (
    Claim(
        "TOAST generalises better than plain training",
        "Both stages against cross-entropy, with default settings and with settings chosen on the "
        "validation split, by the same number of trials for both.",
        TOAST,
        (BASELINE,),
        (PLAIN, SEARCHED),
    ),
    Claim(
        "TOAST generalises better than its peers",
        "Both stages against every other method, p corrected by Holm over them; with default "
        "settings and with settings chosen on the validation split, by the same number of trials "
        "for every method.",
        TOAST,
        PEERS,
        (PLAIN, SEARCHED),
    ),
    Claim(
        "Medoids help",
        "TOAST against itself with the class mean in place of the medoid.",
        TOAST,
        ("TOAST class mean",),
    ),
    Claim(
        "Medoids help more than plainer soft targets",
        "Stage 1 alone against label smoothing and online label smoothing.",
        "TOAST stage 1",
        ("label smoothing", "OLS"),
    ),
    Claim(
        "Targeting the under-trained helps",
        "TOAST against itself with as many samples carried at random.",
        TOAST,
        ("TOAST random carry",),
    ),
    Claim(
        "The two stages add up",
        "Both stages against each alone.",
        TOAST,
        ("TOAST stage 1", "TOAST stage 2"),
    ),
    Claim(
        "It works on five architectures",
        "Only two small networks have been run here, a multilayer perceptron and a residual one; "
        "the five families wait for a GPU: `toastlab study run recipe` (docs/recipes.md).",
    ),
    Claim(
        "It combines with augmentation-based regularisers",
        "TOAST against cross-entropy, both with Cutout, Mixup or CutMix.",
        TOAST,
        (BASELINE,),
        (BLENDED,),
    ),
    Claim(
        "It is faster",
        "Training time of each method against TOAST's, for as many new samples. The source's "
        "figure of 2.95 is about a method that its abstract does not name, on hardware that we do "
        "not know: nothing here confirms or denies it. TOAST's epoch holds fewer distinct samples "
        "than the others', since carried samples take places of new ones. "
        "Tf-KD self trains a teacher before, which is not counted here.",
        costs=True,
    ),
)


def evidence(table: pd.DataFrame, claim: Claim, metric: str = "test_top1") -> pd.DataFrame:
    """Paired differences `first` minus each other, per setting, with `verdict` and `p_holm`.

    Args:
        table: of one part, one network and one budget.
    """
    rows = []
    for other in claim.others:
        both = select(table, (claim.first, other))
        shared = both.groupby(["setting", "seed"])["method"].transform("nunique") == 2
        if shared.any():  # a method of which every run diverged has no row
            rows.append(differences(both[shared], metric, baseline=other).assign(method=other))
    gaps = pd.concat(rows, ignore_index=True)
    gaps["p_holm"] = gaps.groupby("setting", sort=False)["p"].transform(holm)
    gaps["verdict"] = [
        _verdict(float(mean), float(p)) for mean, p in zip(gaps["mean"], gaps.p_holm, strict=True)
    ]
    return gaps


def _verdict(mean: float, p: float) -> str:
    """By the corrected p, unlike `verdict`: with many comparisons an interval is too short."""
    if p != p:
        return "one seed: nothing to say"
    if p >= LEVEL:
        return "not significant"
    return "better" if mean > 0 else "worse"


def judgement(verdicts: list[str]) -> str:
    """Supported: better everywhere. Not supported: nowhere better. Open: anything between."""
    better = verdicts.count("better")
    if not verdicts or "one seed: nothing to say" in verdicts:
        return "open"
    if better == len(verdicts):
        return "supported"
    return "open" if better else "not supported"


def findings(table: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Everything in the stored rows that speaks about a claim: network, part and `evidence`."""
    gaps = []
    for model in dict.fromkeys(table.model):
        for name, settings in claim.where:
            rows = select(table, part=name, model=str(model), budget="samples")
            rows = rows[rows.setting.isin(settings)]
            if len(rows):
                gaps.append(evidence(rows, claim).assign(model=model, part=name))
    return pd.concat(gaps, ignore_index=True)


def page() -> str:
    """Markdown: every claim with its judgement and the differences behind it."""
    table, trials = load(), load("trials")
    tried = len(trials.groupby(["model", "setting", "method"])) * (TRIALS + 1)
    lost = tried - len(trials)
    lines = [
        "# The source's claims on our data",
        "",
        "Made by `toastlab study page peers` from `data/peers`, which `toastlab study run peers`",
        "makes from real runs:",
        "`fashion-mini`, equal new samples, test split, last epoch. The multilayer",
        "perceptron (mlp) has 6,000 images, batches of 128 and 30 epochs, the residual network",
        "(resnet-small) 1,000, 64 and 20. *Defaults*: all methods with their source's settings.",
        f"*Tuned*: chosen on validation, {TRIALS + 1} trials each (`data/peers/trials.csv`);",
        f"{lost} of {tried} diverged, and lost.",
        "Differences are in top-1 points, paired over seeds, with a 95 % t interval and the p of",
        "the paired t test after Holm's correction over the comparisons of a claim. *Better* and",
        "*worse* mean p below 0.05, *not significant* the rest. *Supported*: better in every row;",
        "*not supported*: in none; *open*: between.",
        "",
        "TOAST here is this project's reading [R] of an abstract; what fails here need not fail",
        "with the authors' own equations, networks and data.",
    ]
    for claim in CLAIMS:
        lines += ["", f"## {claim.title}", "", claim.question, ""]
        if claim.costs:
            lines += ["**Open.**", "", *_costs(load_bench())]
            continue
        if not claim.others:
            lines += ["**Open.**"]
            continue
        rows = findings(table, claim)
        said = judgement(rows.verdict.tolist()).capitalize()
        counts = rows.verdict.value_counts()
        shares = ", ".join(f"{n} of {len(rows)} {word}" for word, n in counts.items())
        lines += [f"**{said}.** {shares}.", ""]
        lines += ["| network | settings | data | difference | top-1 | p (Holm) | seeds | |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        for row in rows.to_dict("records"):
            mean, low, high = (100 * float(row[k]) for k in ("mean", "low", "high"))
            lines.append(
                f"| {row['model']} | {row['part']} | {row['setting']} "
                f"| {claim.first} - {row['method']} | {mean:+.1f} [{low:+.1f}, {high:+.1f}] "
                f"| {_small(row['p_holm'])} | {row['seeds']} | {row['verdict']} |"
            )
    return "\n".join(lines) + "\n"


def _small(p: float) -> str:
    return "< 0.001" if p < 0.0005 else f"{p:.3f}"


def _costs(measured: dict[str, Any]) -> list[str]:
    """Time a new image of every method against TOAST's."""
    rows = {row["method"]: row for row in measured["methods"]}
    own, facts, settings = rows["toast"], measured["facts"], measured["settings"]
    lines = [
        f"{settings['model']}, batches of {settings['batch_size']}, {facts['clock']}, "
        f"{facts['processor']}, PyTorch {facts['torch']}; median of {settings['rounds']} rounds in "
        "turns, and their range (`data/bench.json`):",
        "",
        "| method | time / TOAST's | images passed a new image |",
        "|---|---|---|",
    ]
    for name, row in rows.items():
        if name != "toast":
            times = [a / b for a, b in zip(row["rounds"], own["rounds"], strict=True)]
            lines.append(
                f"| {name} | {median(times):.2f} [{min(times):.2f}, {max(times):.2f}] "
                f"| {row['passes_per_image']:.2f} |"
            )
    return lines


def overview(table: pd.DataFrame, model: str) -> str:
    """Markdown: every method's top-1 in per cent, at equal samples where nothing else is said.

    Args:
        table: the rows, as of `peers.load`.
    """
    more = (f"{MAIN}, stopped early", f"{MAIN}, tuned", f"{MAIN}, equal images")
    columns = ["method", "passes a new sample", *NOISE, PAIRWISE, *more]
    rows = select(table, model=model)
    base = select(rows, (BASELINE,), part="defaults", budget="samples", setting=MAIN)
    lines = []
    for method in ARMS:
        own = select(rows, (method,))
        plain = select(own, part="defaults", budget="samples")
        main = select(plain, setting=MAIN)
        shown = [select(plain, setting=name) for name in NOISE]
        shown += [select(own, part="pairwise"), main, select(own, part="tuned", setting=MAIN)]
        shown += [select(own, part="defaults", budget="images", setting=MAIN)]
        names = ["test_top1"] * 4 + ["early_top1"] + ["test_top1"] * 2
        ratio = main.total_passes.mean() / base.total_passes.mean()
        cells = [_percent(part[name]) for part, name in zip(shown, names, strict=True)]
        lines.append([method, f"{ratio:.3g}", *cells])
    return markdown(pd.DataFrame(lines, columns=columns))


def parts(table: pd.DataFrame, model: str, setting: str) -> str:
    """Markdown: TOAST, its stages and their controls against cross-entropy, at equal samples.

    Args:
        table: the rows, as of `peers.load`; setting: of `peers.NOISE`.
    """
    rows = select(table, PARTS, part="defaults", budget="samples", model=model, setting=setting)
    text = summary(rows).drop(columns=["setting", "train s"])
    return markdown(text)


def _percent(values: pd.Series) -> str:
    """Mean ± deviation over the seeds; empty where nothing was run."""
    return "" if values.empty else f"{100 * values.mean():.1f} ± {100 * values.std():.1f}"
