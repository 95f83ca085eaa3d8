"""`toastlab bench`: what things cost on this machine, side by side."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from tyro.conf import arg

from toastlab.bench.bars import bars as limits
from toastlab.bench.config import BenchConfig
from toastlab.bench.gpu import run as gpu_bench
from toastlab.bench.measure import measure
from toastlab.bench.text import as_text
from toastlab.cli.options import Device
from toastlab.cli.terminal import comparison_table, console, progress
from toastlab.core.errors import BadValue
from toastlab.disk.durable import write
from toastlab.training import device as devices

TITLES = {
    "methods": "Training: new images a second, and time a new image against cross-entropy",
    "mlp": "The same on the teaching MLP, whose steps are short",
    "data": "Data path: crop, flip, normalise, Cutout",
    "medoids": "Exact medoids, classes a second; ratio to toastlab",
    "memory": "Memory: kept beyond cross-entropy (50,000 samples, 100 classes); a process's peak",
}


def bench(
    config: Annotated[BenchConfig, arg(name="")],
    device: Device = "auto",
    quick: bool = False,
    json_file: Annotated[str, arg(name="json")] = "",
    stdout: bool = False,
    bars: bool = False,
    gpu: bool = False,
    page: str = "",
) -> None:
    """Measures this machine: methods, data path, medoids, memory, beside alternatives.

    toastlab bench --quick

    toastlab bench --sections methods --methods toast dlb --model resnet18

    toastlab bench --device cuda --json bench.json

    toastlab bench --bars

    toastlab bench --gpu

    Everything that is compared is timed in turns in one process; a ratio is the median of the
    rounds. On a CPU that is processor time on one thread, so other work on the machine matters
    little; on a CUDA device the times are its own, from events. Memory is measured in a process per
    method. Without options it takes some minutes.

    Args:
        config: What is measured.
        quick: Two steps, one round, the teaching MLP, three methods: seconds, to see that it works.
        json_file: Write everything to this file too, each round's ratio included.
        stdout: Print JSON instead of tables.
        bars: Hold the ratios against the kit's limits on time, without memory. A section in which
            one is broken is measured again, three times in all, since a busy machine may say less
            than an idle one; if one is still broken, it ends with 1.
        gpu: All that is said of GPUs, measured in at most 8 minutes: the tests marked gpu, steps
            (eager, compiled, CUDA graphs), medoids, waits, memory, networks trained as one, the
            demo. Options of sections and methods do not count. With --quick, or without a CUDA
            device, a few of everything; ends with 1 where a part failed.
        page: With --gpu, where its page goes; docs/gpu_measured.md of a checkout.
    """
    if gpu:
        return _gpu(device, quick, json_file, page)
    if quick:
        config = BenchConfig(
            "mlp", config.batch_size, 2, 1, ("toast", "dlb"), config.sections, small=True
        )
    if json_file and not Path(json_file).absolute().parent.is_dir():
        raise BadValue(f"there is no folder for {json_file!r}: make it first.")
    if bars:
        config = replace(config, sections=tuple(s for s in config.sections if s != "memory"))
    results = _measured(config, device)
    checked = limits(results)
    if bars:
        for _ in range(2):
            if broken := {bar.section for bar in checked if not bar.held}:
                results |= _measured(replace(config, sections=tuple(broken)), device)
                checked = limits(results)
    text = json.dumps(_without_nan(results), indent=1)
    if json_file:
        write(Path(json_file), (text + "\n").encode())
    if stdout:  # JSON alone, for another program; the exit code tells of the limits
        console().print(text, soft_wrap=True)
    else:
        _show(results)
        if bars:
            rows = pd.DataFrame(bar.row() for bar in checked)
            console().print(comparison_table("Limits on time", rows))
    if bars and not (checked and all(bar.held for bar in checked)):
        raise SystemExit(1)


def _gpu(device: str, quick: bool, json_file: str, page: str) -> None:
    """`--gpu`: the same as `python -m toastlab.bench.gpu`."""
    chosen = str(devices.choose(device))
    screen = console()
    failed = gpu_bench.measure(
        gpu_bench.scale_of(quick, chosen),
        chosen,
        tuple(gpu_bench.PARTS),
        json_file,
        page,
        lambda line: screen.print(line, soft_wrap=True),
    )
    if failed:
        raise SystemExit(1)


def _measured(config: BenchConfig, device: str) -> dict[str, Any]:
    """All sections of `config`, with a progress bar."""
    results: dict[str, Any] = {}
    total = len(config.sections)
    with progress() as bar:
        task = bar.add_task("starting", total=total)
        begun: list[str] = []
        for section, done, so_far in measure(config, device):
            results = so_far
            begun += [section] if section not in begun else []
            count = len(config.names) if section == "memory" else config.rounds
            part = min(1.0, done / count) if done else 1.0
            bar.update(task, completed=len(begun) - 1 + part, description=f"{section}, {done}")
        bar.update(task, completed=total, description="done")
    return results


def _without_nan(thing: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(thing, dict):
        return {k: _without_nan(v) for k, v in thing.items()}
    if isinstance(thing, list):
        return [_without_nan(v) for v in thing]
    return None if isinstance(thing, float) and thing != thing else thing


def _show(found: dict[str, Any]) -> None:
    screen = console()
    for section, title in TITLES.items():
        if section in found:
            screen.print(comparison_table(title, as_text(found[section])))
    if "imagenet" in found:
        one = found["imagenet"]
        screen.print(
            f"ImageNet's medoids: one class here {one['seconds']:.3f} s (float16 bank, 256 MiB), "
            f"{one['roof_share']:.2f} of torch.mm's rate; all 1,000: {one['whole_here_s']:.0f} s."
        )
    screen.print(", ".join(f"{k} {v}" for k, v in found["facts"].items()), soft_wrap=True)
