"""The page about what was measured on a GPU, made of the JSON; without a JSON it says so."""

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from toastlab.bench.config import Row
from toastlab.bench.gpu.scale import Content
from toastlab.bench.text import markdown

COMMAND = "python -m toastlab.bench.gpu"
HEAD = f"""# Measured on a GPU

`{COMMAND}`, or `toastlab bench --gpu`, makes this page and `data/gpu.json`; nothing in it is
written by hand. It takes at most 8 minutes on one GPU and asks for no command-line package: torch,
torchvision, numpy, pandas, scikit-learn, torchmetrics, safetensors, scipy, joblib and rich will do
(pytest too, for the tests). `--small` tries all of it in seconds, on a CPU as well.
"""
NOT_YET = """
**Not run yet.** No GPU was at hand when this was written, so there is no number here. What is said
of GPUs elsewhere ([gpu.md](gpu.md)) is counted, or shown on a CPU by other means.
"""
TRIAL = """
**A trial, not a measurement**: {why}. It shows that the command works; its times say nothing.
"""
# Part -> what it measures.
MEASURES = {
    "facts": "The device and its software.",
    "tests": "The tests marked `gpu`, in a process of their own.",
    "eager": "A training step of every method against cross-entropy, as it is written: made-up "
    "images of CIFAR's shape, crop and flip, bf16. All labels are chance, so that TOAST's carry is "
    "full at every step, when it costs most.",
    "compiled": "The same with network and loss by `torch.compile`, for methods whose images each "
    "pass once through the network.",
    "graphs": "The same as one CUDA graph a step, optimizer included.",
    "medoids": "Exact medoids of whole banks against `torch.cdist` and against the matrix products "
    "that they consist of.",
    "waits": "Host waits and kernel launches of a step, by the profiler.",
    "memory": "The peak that PyTorch allocated against the one that was counted "
    "([gpu.md](gpu.md)).",
    "demo": "The runs of `toastlab demo`, from reading the data to the stored run, one by one.",
    "loop": "Whole runs of the training loop, the end of each epoch included: steps as they are "
    "written (`TOASTLAB_GRAPHS=0`) against steps as CUDA graphs, and whether both end with the "
    "same weights, to the bit. Teaching networks: 2,000 images, 5 epochs; ResNet-18: made-up "
    "images, 2 epochs.",
    "together": "Networks trained as one (`--together`) against one by one: whole runs of the "
    "teaching MLP on 2,000 images, 10 epochs.",
}
Column = tuple[str, str, Callable[[object], str]]


def number(form: str) -> Callable[[object], str]:
    """Shows a number in that form, and nothing where there is none."""
    return lambda value: form.format(value) if isinstance(value, int | float) else ""


COLUMNS: dict[str, tuple[Column, ...]] = {
    "steps": (
        ("B", "batch_size", number("{:.0f}")),
        ("method", "method", str),
        ("ms a step", "step_ms", number("{:.2f}")),
        ("time of a step", "step_ratio", number("{:.3f}")),
        ("time of a new image", "image_ratio", number("{:.3f}")),
        ("new images a second", "images_per_second", number("{:,.0f}")),
    ),
    "medoids": (
        ("logits", "logits", str),
        ("way", "way", str),
        ("ms", "seconds", lambda v: number("{:.2f}")(1000 * v) if isinstance(v, float) else ""),
        ("time, toastlab is 1", "time_ratio", number("{:.2f}")),
    ),
    "waits": (
        ("method", "method", str),
        ("host waits a step", "waits", number("{:g}")),
        ("launches a step", "launches", number("{:g}")),
        ("kernels a step", "kernels", number("{:g}")),
    ),
    "memory": (
        ("method", "method", str),
        ("precision", "precision", str),
        ("B", "batch_size", number("{:.0f}")),
        ("counted, MiB", "counted_mib", number("{:,.0f}")),
        ("measured, MiB", "measured_mib", number("{:,.0f}")),
    ),
    "demo": (
        ("arm", "arm", str),
        ("noise", "noise", number("{:g}")),
        ("seed", "seed", number("{:.0f}")),
        ("s", "seconds", number("{:.1f}")),
        ("of it training", "training", number("{:.1f}")),
    ),
    "loop": (
        ("network", "network", str),
        ("B", "batch_size", number("{:.0f}")),
        ("method", "method", str),
        ("s, as written", "written_s", number("{:.2f}")),
        ("s, CUDA graphs", "graphs_s", number("{:.2f}")),
        ("times as fast", "gain", number("{:.1f}")),
        ("equal to the bit", "equal", str),
    ),
    "together": (
        ("method", "method", str),
        ("networks", "networks", number("{:.0f}")),
        ("s a network, as one", "together_s", number("{:.3f}")),
        ("s a network, one by one", "one_by_one_s", number("{:.3f}")),
        ("times as fast", "gain", number("{:.1f}")),
    ),
}
KIND = {name: "steps" for name in ("eager", "compiled", "graphs")}


def page_of(known: Content | None) -> str:
    """The page, Markdown.

    Args:
        known: what was measured, see `run_parts`; None: nothing yet.
    """
    lines = [HEAD]
    if known is None:
        lines += [NOT_YET, "\n## What it will measure\n\n"]
        lines += [f"- {text}\n" for name, text in MEASURES.items() if name != "facts"]
        return "".join(lines)
    parts = known["parts"]
    if why := _trial(known):
        lines.append(TRIAL.format(why=why))
    lines += ["\n", ", ".join(f"{k} {v}" for k, v in _facts(known).items()), ".\n"]
    lines.append(f"\nMeasured {known['made']}, {known.get('seconds', 0):.0f} s in all:\n\n")
    rows = [(name, f"{found['took']:.0f}", ending(found)) for name, found in parts.items()]
    lines.append(markdown(pd.DataFrame(rows, columns=["part", "s", "how it ended"])))
    for name, found in parts.items():
        if name != "facts":
            lines += _section(name, found)
    return "".join(lines)


def _trial(known: Content) -> str:
    """Why this measures no GPU, or nothing."""
    if not str(known["device"]).startswith("cuda"):
        return f"it ran on a {known['device']}"
    return "it was asked to be small" if known["scale"].get("is_small") else ""


def _facts(known: Content) -> dict[str, str]:
    return dict(known["parts"].get("facts", {}).get("facts", {"device": known["device"]}))


def ending(found: Content) -> str:
    """How a part ended, in words."""
    for kind, words in (("skipped", "left out"), ("error", "FAILED"), ("stopped", "cut off")):
        if kind in found:
            return f"{words}: {found[kind]}"
    if "counts" in found:
        bad = _failed_tests(found)
        told = ", ".join(f"{n} {kind}" for kind, n in found["counts"].items())
        return f"{'TESTS FAILED' if bad else 'whole'}: {told}"
    wrong = [row for row in found.get("rows", ()) if "error" in row]
    if "of" in found and len(found["rows"]) < found["of"]:
        return f"{len(found['rows'])} of {found['of']} in the time there was"
    return f"{len(wrong)} rows failed" if wrong else "whole"


def is_wrong(found: Content) -> bool:
    """Whether a part failed, was cut off, or is of tests that failed."""
    return "error" in found or "stopped" in found or _failed_tests(found) > 0


def _failed_tests(found: Content) -> int:
    counts = found.get("counts", {})
    return int(counts.get("failure", 0) + counts.get("error", 0))


def _section(name: str, found: Content) -> Iterator[str]:
    """A part's tables, and why what is missing is missing."""
    yield f"\n## {name}\n\n{MEASURES[name]}\n\n"
    rows: Sequence[Row] = found.get("rows", ())
    good = [row for row in rows if "error" not in row and "skipped" not in row]
    if good:
        yield _table(good, COLUMNS[KIND.get(name, name)])
    elif "counts" not in found:
        yield f"Nothing was measured ({ending(found)}).\n"
    if name == "demo" and good:
        yield f"\n{len(good)} of {found['of']} runs, {found['seconds']:.1f} s in all.\n"
    if "counts" in found:
        yield f"{ending(found)}.\n"
    for failure in found.get("failures", ()):
        yield f"- {failure['test']}: `{_plain(failure['message'])}`\n"
    missing = [row for row in rows if row not in good]
    if missing:
        yield "\n"
    for row in missing:
        at = f", B {row['batch_size']}" if "batch_size" in row else ""
        yield f"- {row['method']}{at}: {_plain(row.get('error') or row['skipped'])}\n"


def _table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    cells = [[show(row.get(key)) for _, key, show in columns] for row in rows]
    return markdown(pd.DataFrame(cells, columns=[title for title, _, _ in columns]))


def _plain(text: str) -> str:
    """Without what would be Markdown."""
    return text.replace("`", "'").replace("|", "/").replace("<", "(").replace(">", ")")
