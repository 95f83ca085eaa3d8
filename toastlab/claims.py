"""The source's claims, each held against the stored comparison: supported, not supported or open.

A page of text made from `data/peers.csv` by one command, `toastlab claims`; nothing in it is
written by hand but the questions.
"""

from dataclasses import dataclass

import pandas as pd

from toastlab.compare import ARMS, differences, holm, verdict
from toastlab.peers import select

TOAST = "TOAST"
PEERS = tuple(
    name for name in ARMS if not name.startswith(TOAST) and name not in ("cross-entropy",)
)


@dataclass(frozen=True)
class Claim:
    """A claim, and the comparisons that could bear it out: `first` minus each of `others`."""

    title: str
    question: str
    first: str = TOAST
    others: tuple[str, ...] = ()


CLAIMS = (
    Claim(
        "TOAST generalises better than plain training",
        "Both stages against cross-entropy.",
        TOAST,
        ("cross-entropy",),
    ),
    Claim(
        "TOAST generalises better than its peers",
        "Both stages against every other method, p corrected by Holm over them.",
        TOAST,
        PEERS,
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
    Claim("It works on five architectures", "Not run: that needs a GPU."),
    Claim("It combines with augmentation-based regularisers", "Not run yet."),
)


def evidence(table: pd.DataFrame, claim: Claim, metric: str = "test_top1") -> pd.DataFrame:
    """Paired differences `first` minus each other, per setting, with `verdict` and `p_holm`.

    Args:
        table: of one network and one budget.
    """
    rows = []
    for other in claim.others:
        both = select(table, (claim.first, other))
        shared = both.groupby(["setting", "seed"])["method"].transform("nunique") == 2
        found = differences(both[shared], metric, baseline=other)
        rows.append(found.assign(method=other))
    gaps = pd.concat(rows, ignore_index=True)
    gaps["p_holm"] = gaps.groupby("setting", sort=False)["p"].transform(holm)
    gaps["verdict"] = [
        verdict(float(m), float(lo), float(hi))
        for m, lo, hi in gaps[["mean", "low", "high"]].itertuples(index=False)
    ]
    return gaps


def judgement(verdicts: list[str]) -> str:
    """Supported: better everywhere. Not supported: nowhere better. Open: anything between."""
    better = verdicts.count("better")
    if not verdicts or "one seed: nothing to say" in verdicts:
        return "open"
    if better == len(verdicts):
        return "supported"
    return "open" if better else "not supported"


def page(table: pd.DataFrame) -> str:
    """Markdown: every claim with its judgement and the differences behind it.

    Args:
        table: as of `peers.load_peers`.
    """
    lines = [
        "# The source's claims on our data",
        "",
        "Made by `toastlab claims` from `data/peers.csv`, which `toastlab peers` makes from real",
        "runs: `fashion-mini`, 30 epochs, batch 128, default settings of every method, not tuned",
        "on these data; test split, last epoch; equal images through the network. Differences in",
        "top-1 points, paired over seeds, 95 % t interval, p of the paired t test after Holm's",
        "correction. *Supported*: better in every row. *Not supported*: in none. *Open*: between.",
        "",
        "TOAST here is this project's reading [R] of an abstract; what fails here need not fail",
        "with the authors' own equations, networks and data.",
    ]
    for claim in CLAIMS:
        lines += ["", f"## {claim.title}", "", claim.question]
        if not claim.others:
            lines += ["", "**Open.**"]
            continue
        found, said = [], []
        for model in dict.fromkeys(table.model):
            gaps = evidence(select(table, model=str(model), budget="images"), claim)
            said += gaps.verdict.tolist()
            for row in gaps.to_dict("records"):
                mean, low, high = (100 * float(row[k]) for k in ("mean", "low", "high"))
                found.append(
                    f"| {model} | {row['setting']} | {claim.first} - {row['method']} "
                    f"| {mean:+.1f} [{low:+.1f}, {high:+.1f}] | {row['p_holm']:.3f} "
                    f"| {row['seeds']} | {row['verdict']} |"
                )
        lines += ["", f"**{judgement(said).capitalize()}.**", ""]
        lines += ["| network | data | difference | top-1 | p (Holm) | seeds | |"]
        lines += ["|---|---|---|---|---|---|---|", *found]
    return "\n".join(lines) + "\n"
