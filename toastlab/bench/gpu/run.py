"""Runs the parts one after the other within a time, and loses none to another one's failure.

Each part is a process of its own: one that hangs, runs out of memory or spoils the device's context
is ended, and what it had found by then is kept.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from toastlab.bench.gpu import networks, parts, steps
from toastlab.bench.gpu.page import ending, is_wrong, page_of
from toastlab.bench.gpu.scale import SMALL, Content, Measure, Scale, Until
from toastlab.core.errors import BadValue
from toastlab.disk.durable import write

JSON, PAGE = "data/gpu.json", "docs/gpu_measured.md"  # of a checkout
GRACE = 20.0  # seconds for a part's start and end beyond its own time
LEAST = 10.0  # seconds below which no part is begun


@dataclass(frozen=True)
class Part:
    """A part of the measurement.

    Attributes:
        name: in the JSON and for `--parts`.
        measure: what it does.
        seconds: what it may take at most.
    """

    name: str
    measure: Measure
    seconds: float


# In the order of their worth, so that a short time loses the last ones. Together they may want more
# than there is: hardly one of them takes all that it may.
PARTS = {
    part.name: part
    for part in (
        Part("facts", parts.facts, 30),
        Part("tests", parts.tests, 90),
        Part("eager", steps.eager, 30),
        Part("medoids", parts.medoids, 30),
        Part("graphs", steps.graphs, 30),
        Part("compiled", steps.compiled, 110),
        Part("waits", parts.waits, 25),
        Part("memory", parts.memory, 25),
        Part("loop", networks.loop, 45),
        Part("together", networks.together, 40),
        Part("demo", parts.demo, 45),
    )
}


def measure(
    scale: Scale,
    device: str,
    names: tuple[str, ...],
    json_file: str,
    page_file: str,
    tell: Callable[[str], object],
) -> int:
    """Measures, and writes the JSON and the page after every part.

    Args:
        json_file, page_file: where to; empty: `JSON` and `PAGE`, or nowhere if it is small.
        tell: is given a line about every part.

    Returns:
        How many parts failed or were cut off.

    Raises:
        ValueError: there is no folder for a file.
    """
    files = [_file(given, usual, scale) for given, usual in ((json_file, JSON), (page_file, PAGE))]
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise BadValue(f"there is no folder for {str(file)!r}: make it first.")
    into, page = files

    def save(known: Content) -> None:
        if into is not None:
            saved(into, known)
        if page is not None:
            write(page, page_of(known).encode())

    known: Content = {"parts": {}}
    for name, known in run_parts(scale, device, names, alone=not scale.is_small, save=save):
        found = known["parts"][name]
        tell(f"{name}, {found['took']:.0f} s: {ending(found)}")
    for file in filter(None, files):
        tell(str(file))
    return sum(is_wrong(found) for found in known["parts"].values())


def _file(given: str, usual: str, scale: Scale) -> Path | None:
    if given or scale.is_small:
        return Path(given) if given else None
    return Path(usual) if Path(usual).parent.is_dir() else Path(Path(usual).name)


def run_parts(
    scale: Scale,
    device: str,
    names: tuple[str, ...] = tuple(PARTS),
    *,
    alone: bool = True,
    save: Callable[[Content], None] | None = None,
) -> Iterator[tuple[str, Content]]:
    """Measures part by part; yields the name of the part that ended, and all that is known so far.

    Args:
        alone: each part in a process of its own; else in this one, where a part that hangs or takes
            the process down takes the others with it.
        save: called with what is known after every part.
    """
    until, began = Until(scale.seconds), time.perf_counter()
    settings = {f.name: getattr(scale, f.name) for f in fields(scale)}
    known: Content = {
        "made": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "device": device,
        "scale": settings,
        "parts": {},
    }
    for name in names:
        part, start = PARTS[name], time.perf_counter()
        most = scale.seconds if scale.is_small else part.seconds
        seconds = min(most, until.left - (GRACE if alone else 0))
        if seconds < LEAST:
            found: Content = {"skipped": f"{max(0.0, until.left):.0f} s were left"}
        elif alone:
            found = _in_a_process(part, scale, device, seconds)
        else:
            found = measured(part, scale, device, seconds)
        known["parts"][name] = {**found, "took": time.perf_counter() - start}
        known["seconds"] = time.perf_counter() - began
        if save is not None:
            save(known)
        yield name, known


def measured(
    part: Part,
    scale: Scale,
    device: str,
    seconds: float,
    save: Callable[[Content], None] | None = None,
) -> Content:
    """What a part finds in this process; an error is noted beside what it had found before."""
    found: Content = {}
    try:
        for found in part.measure(scale, torch.device(device), Until(seconds)):
            if save is not None:
                save(found)
    except Exception as error:
        found = {**found, "error": steps.said(error)}
        if save is not None:
            save(found)
    return found


def _in_a_process(part: Part, scale: Scale, device: str, seconds: float) -> Content:
    """The same in a process that can be ended."""
    with TemporaryDirectory() as folder:
        into = Path(folder) / "part.json"
        command = [sys.executable, "-m", "toastlab.bench.gpu", "--part", part.name]
        command += ["--into", str(into), "--seconds", f"{seconds:.1f}", "--device", device]
        command += ["--small"] if scale.is_small else []
        path = os.pathsep.join(filter(None, (str(parts.ROOT), os.environ.get("PYTHONPATH", ""))))
        limit = seconds + GRACE
        with open(Path(folder) / "said", "w+b") as out:
            child = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": path},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its own workers end with it
            )
            why = _ended(child, limit)
            out.seek(max(0, out.seek(0, os.SEEK_END) - 2000))
            told = out.read().decode(errors="replace").replace(str(parts.ROOT), ".")
        found: Content = json.loads(into.read_text("utf-8")) if into.exists() else {}
        if why:
            found[why[0]] = why[1]
            found["output"] = told.splitlines()[-8:]
        return found


def _ended(child: "subprocess.Popen[bytes]", limit: float) -> tuple[str, str] | None:
    """Waits for a process, and ends it and its children when its time is over; what went wrong."""
    try:
        code = child.wait(limit)
    except subprocess.TimeoutExpired:
        _kill(child)
        return "stopped", f"ended after {limit:.0f} s"
    except BaseException:  # Ctrl-C: nobody is left behind
        _kill(child)
        raise
    return ("error", f"the process ended with code {code}") if code else None


def _kill(child: "subprocess.Popen[bytes]") -> None:
    if os.name == "posix":
        import signal

        os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


def scale_of(small: bool, device: str) -> Scale:
    """The whole measurement on a CUDA device, a small one elsewhere."""
    return SMALL if small or torch.device(device).type != "cuda" else Scale()


def saved(path: Path, content: Content) -> None:
    """Writes JSON in one go, so that whoever is ended leaves a whole file."""
    text = json.dumps(without_nan(content), indent=1, default=str, allow_nan=False)
    aside = path.with_name(path.name + ".new")
    write(aside, (text + "\n").encode())
    aside.replace(path)


def without_nan(thing: object) -> object:
    """The same with null in place of what JSON has no number for."""
    if isinstance(thing, dict):
        return {k: without_nan(v) for k, v in thing.items()}
    if isinstance(thing, list | tuple):
        return [without_nan(v) for v in thing]
    if isinstance(thing, float) and not math.isfinite(thing):
        return None
    return thing
