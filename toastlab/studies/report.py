"""One HTML page about a comparison: every picture inside it, no network needed to look at it."""

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from toastlab import plots
from toastlab.analysis.dynamics import data_map, precision_at_flipped
from toastlab.analysis.measures import measure_of
from toastlab.analysis.metrics import reliability_bins
from toastlab.analysis.statistics import BASELINE, differences, verdict
from toastlab.data.dataset import images_of, load
from toastlab.data.ids import caption
from toastlab.store.runs import Run
from toastlab.studies.arms import Job

Done = Sequence[tuple[Job, Run]]

COLUMNS = ("test_top1", "test_nll", "test_ece")

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1b1b1b; background: #fff; margin: 0 auto;
       max-width: 62rem; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.8rem; margin: 0 0 .3rem; } h2 { margin: 2.6rem 0 .4rem; font-size: 1.25rem; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #555; }
.better { color: #00664b; font-weight: 600; } .worse { color: #a13d00; font-weight: 600; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption, .small { color: #555; font-size: .88rem; }
.mark { font-size: .8rem; border: 1px solid #999; border-radius: .3rem; padding: 0 .3rem; }
"""


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Per setting and method: means over the seeds, and what the paired difference allows to say.

    Args:
        table: as of `rows.run_table`, `BASELINE` among its methods.

    Returns:
        setting, method, one text column per measure, "top-1 difference" in points, "verdict".
    """
    gaps = {
        (row["setting"], row["method"]): (row["mean"], row["low"], row["high"])
        for row in differences(table, "test_top1").to_dict("records")
    }
    rows = []
    for (setting, method), group in table.groupby(["setting", "method"], sort=False):
        row = {"setting": str(setting), "method": str(method)}
        for column in COLUMNS:
            what = measure_of(column)
            deviation = f" ± {what.show(group[column].std())}" if len(group) > 1 else ""
            row[what.heading] = what.show(group[column].mean()) + deviation
        row["train s"] = f"{group['seconds'].mean():.1f}"
        row["top-1 difference"], row["verdict"] = "", ""
        if method != BASELINE:
            mean, low, high = gaps[(str(setting), str(method))]
            around = f" [{100 * low:+.1f}, {100 * high:+.1f}]" if not np.isnan(low) else ""
            row["top-1 difference"] = f"{100 * mean:+.1f}{around}"
            row["verdict"] = verdict(mean, low, high)
        rows.append(row)
    return pd.DataFrame(rows)


def findings(table: pd.DataFrame) -> list[str]:
    """Plain sentences: which differences to the baseline are real on these runs, and which not."""
    sentences = []
    for column in COLUMNS:
        what = measure_of(column)
        for setting, group in differences(table, column).groupby("setting", sort=False):
            by_verdict: dict[str, list[str]] = {}
            for row in group.to_dict("records"):
                mean, low, high = (float(row[k]) for k in ("mean", "low", "high"))
                word = verdict(mean, low, high, what.larger_is_better)
                by_verdict.setdefault(word, []).append(f"{row['method']} ({what.show(mean, '+')})")
            parts = "; ".join(f"{word}: {', '.join(names)}" for word, names in by_verdict.items())
            sentences.append(f"{setting}, {what.heading}, against cross-entropy: {parts}.")
    return sentences


def write(path: Path, done: Done, table: pd.DataFrame, command: str) -> Path:
    """Writes the page and returns its path.

    Args:
        done: jobs and their runs; table: as of `rows.run_table`.
        command: what makes the page again.
    """
    settings = list(dict.fromkeys(job.setting for job, _ in done))
    first = done[0][1]
    facts, seeds = first.facts, table["seed"].nunique()
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>toastlab: TOAST against cross-entropy</title><style>{STYLE}</style></head><body>",
        "<h1>TOAST against cross-entropy</h1>",
        f"<p>Network {html.escape(first.config.model)}, "
        f"{first.config.epochs} epochs, batch {first.config.batch_size}, the same number of images "
        f"through the network for every method, {seeds} seed{'s' if seeds > 1 else ''}, last epoch "
        "on the test split.</p>",
        "<p class='small'>TOAST: Yin, Pu, Zhou and Xue, IEEE/CAA J. Autom. Sinica 11(11), 2024. "
        "The source <span class='mark'>S</span> states two stages, class medoids and past "
        "predictions of under-trained samples, linearly combined; its equations are not public. "
        "Distances, temperatures, weights and criteria here are our reading "
        "<span class='mark'>R</span>.</p>",
        "<h2>Results</h2>",
    ]
    rows = summary(table)
    for setting in settings:
        part = rows[rows.setting == setting].drop(columns="setting")
        note = load(next(job for job, _ in done if job.setting == setting).config.data).note
        parts.append(f"<h3>{html.escape(setting)}</h3><p>{html.escape(note)}</p>{_table(part)}")
    parts.append(
        "<p class='small'>± is the standard deviation over seeds; the difference is paired over "
        "seeds, in top-1 points, with a 95 % t interval. “Within seed noise”: the interval holds 0."
        "</p><ul>" + "".join(f"<li>{html.escape(s)}</li>" for s in findings(table)) + "</ul>"
    )
    if seeds > 1:
        points = differences(table, "test_top1")
        points[["mean", "low", "high"]] *= 100
        parts.append(
            _figure(
                plots.forest(points, "top-1, percentage points"),
                plots.describe_forest(points, "top-1 percentage points"),
            )
        )
    parts.append("<h2>Learning curves</h2>")
    for setting in settings:
        frames: dict[str, list[pd.DataFrame]] = {}
        for job, run in sorted(done, key=lambda pair: pair[0].config.seed):
            if job.setting == setting:
                frames.setdefault(job.arm, []).append(run.metrics)
        parts.append(f"<h3>{html.escape(setting)}</h3>")
        parts.append(_figure(plots.learning_curves(frames), plots.describe_learning_curves(frames)))
    toast = [run for job, run in done if (job.setting, job.arm) == (settings[0], "TOAST")]
    if toast:
        parts += _inside(toast[0], settings[0])
    parts.append("<h2>Reliability</h2>")
    for setting in settings:
        bins = {}
        for job, run in done:
            if job.setting == setting and job.config.seed == first.config.seed:
                stored = run.group("predictions")
                logits, labels = (
                    torch.from_numpy(stored[f"test_{k}"]) for k in ("logits", "labels")
                )
                bins[job.arm] = reliability_bins(logits, labels)
        parts.append(f"<h3>{html.escape(setting)}, seed {first.config.seed}</h3>")
        parts.append(_figure(plots.reliability(bins), plots.describe_reliability(bins)))
    origin = ", ".join(f"{k} {v}" for k, v in facts.items())
    parts.append(
        f"<h2>Where this comes from</h2><p class='small'>{html.escape(origin)}.<br>Data SHA-256 "
        f"{first.fingerprint[:16]}. Again: <code>{html.escape(command)}</code>. On another machine "
        "the digits differ; the findings should not.</p></body></html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts), encoding="utf-8")
    return path


def _inside(run: Run, setting: str) -> list[str]:
    """What one TOAST run looks like inside: medoids, data map, the hardest samples."""
    data = load(run.config.data)
    medoids = run.group("medoids")
    index = medoids["index"][-1]
    shown_medoids = images_of(data.train, np.maximum(index, 0))
    gallery = (shown_medoids, medoids["soft"], data.classes, index >= 0)
    parts = [
        f"<h2>Stage 1: the medoids</h2><p>{html.escape(setting)}, seed {run.config.seed}, last "
        "epoch. Each class's medoid is a real training image; its logits make the soft target of "
        "the whole class.</p>",
        _figure(plots.medoid_gallery(*gallery), plots.describe_medoid_gallery(*gallery)),
        f"<p>What to doubt: the medoids lie {run.last['medoid_to_mean']:.2f} of a class radius "
        "from the class means (0: the mean would do as well), and the soft targets' entropy is "
        f"{run.last['target_entropy']:.2f} nats (0: hard; {np.log(data.num_classes):.2f}: uniform, "
        "which is label smoothing).</p>",
    ]
    if run.dynamics is None:
        return parts
    frame = data_map(run.dynamics)
    hard = frame.sort_values("confidence", kind="stable").index[:24].to_numpy()
    captions = []
    for i in hard:
        was = f"was: {data.classes[frame.clean_label[i]]}" if frame.flipped[i] else ""
        who = caption(data.train.ids[i])
        captions.append(f"{data.classes[frame.label[i]]}\n{who}\n{was}")
    shown = (
        images_of(data.train, hard),
        captions,
        frame.flipped[hard].tolist(),
        "The most under-trained samples",
    )
    parts += [
        "<h2>Stage 2: the under-trained samples</h2>",
        _figure(plots.data_map(frame), plots.describe_data_map(frame)),
        _figure(plots.sample_gallery(*shown), plots.describe_sample_gallery(*shown)),
    ]
    flipped = frame.flipped.to_numpy()
    if flipped.any():
        scores = {"low confidence": -frame.confidence, "times carried": frame.carried}
        precision = ", ".join(
            f"{name} {100 * precision_at_flipped(s.to_numpy(float), flipped):.0f} %"
            for name, s in scores.items()
        )
        parts.append(
            f"<p>Under-trained is not the same as useful: of the top {int(flipped.sum())} "
            f"samples by each measure, this share has a label flipped on purpose: {precision} "
            f"(chance: {100 * flipped.mean():.0f} %).</p>"
        )
    return parts


def _table(rows: pd.DataFrame) -> str:
    head = "".join(f"<th>{html.escape(str(c))}</th>" for c in rows.columns)
    body = []
    for row in rows.itertuples(index=False):
        *values, gap, word = (html.escape(str(v)) for v in row)
        cells = "".join(f"<td>{v}</td>" for v in values)
        body.append(f"<tr>{cells}<td class='{word}'>{gap}</td><td class='{word}'>{word}</td></tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _figure(figure: Figure, text: str) -> str:
    words = html.escape(text, quote=True)
    return (
        f"<figure><img alt='{words}' src='{plots.to_data_uri(figure)}'>"
        f"<figcaption>{words}</figcaption></figure>"
    )
