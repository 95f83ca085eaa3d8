"""The parts but for the steps: tests, medoids, waits, memory, the demo's runs."""

import importlib.util
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from toastlab.bench.config import Row, at_work, over_parts
from toastlab.bench.gpu.scale import Content, Scale, Until, images_of, network_of, trainee_of
from toastlab.bench.gpu.steps import said
from toastlab.bench.medoids import ROOF, SHAPES, like_logits
from toastlab.bench.trainee import Trainee
from toastlab.bench.work import step_work
from toastlab.data.dataset import DataConfig, load
from toastlab.medoids import class_medoids
from toastlab.methods import CrossEntropyConfig, MethodConfig, ToastConfig
from toastlab.store.runs import RunStore
from toastlab.training import device as devices
from toastlab.training.config import TrainConfig

ROOT = Path(__file__).parents[3]  # of a checkout
# What makes the host wait: for a device by name of the call, on a CPU by what would be one there.
WAITS = (
    *("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy"),
    *("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select"),
)
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernelEx")
TINY = {"tiny": (60, 10, 2)}
ARMS: dict[str, MethodConfig] = {  # as of `toastlab demo`, which a test holds equal
    "cross-entropy": CrossEntropyConfig(),
    "TOAST stage 1": ToastConfig(past_weight=0),
    "TOAST stage 2": ToastConfig(medoid_weight=0),
    "TOAST": ToastConfig(),
}
NOISE = 0.2


def facts(scale: Scale, device: torch.device, until: Until) -> Iterator[Content]:
    """What the device and its software are."""
    found: dict[str, object] = dict(devices.facts(device))
    yield {"facts": found}
    if device.type == "cuda":
        has = torch.cuda.get_device_properties(device)
        found |= {
            "memory": f"{has.total_memory / 2**30:.1f} GiB",
            "multiprocessors": str(has.multi_processor_count),
            "compute capability": f"{has.major}.{has.minor}",
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
            "bf16": str(devices.uses_bf16("auto", device)),
        }
        asked = ["nvidia-smi", "--query-gpu=driver_version,power.limit", "--format=csv,noheader"]
        try:
            told = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
            found["driver, power limit"] = told.stdout.strip().splitlines()[0]
        except (OSError, subprocess.SubprocessError, IndexError):
            found["driver, power limit"] = "not told"
    yield {"facts": found}


def tests(scale: Scale, device: torch.device, until: Until) -> Iterator[Content]:
    """The tests marked `gpu`, in a process of their own."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    marked = [f for f in files if "mark.gpu" in f.read_text(encoding="utf-8")]
    if importlib.util.find_spec("pytest") is None or not marked:
        yield {"skipped": "pytest is not installed" if marked else "this is no checkout"}
        return
    with TemporaryDirectory() as folder:
        report, log = Path(folder) / "report.xml", Path(folder) / "log"
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"]
        command += [f"--junitxml={report}", *map(str, marked[: 1 if scale.is_small else None])]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        try:
            with open(log, "wb") as out:
                subprocess.run(
                    command,
                    cwd=ROOT,
                    # plugins that happen to be installed there are none of these tests' business
                    env={**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    timeout=max(1.0, until.left),
                    check=False,
                )
            yield _reported(report, log)
        except subprocess.TimeoutExpired:
            yield {"stopped": "the tests took too long", "output": _tail(log)}


def _reported(report: Path, log: Path) -> Content:
    """What pytest wrote down; the end of its output where it wrote nothing."""
    if not report.exists():
        return {"error": "pytest wrote no report", "output": _tail(log)}
    counts: Counter[str] = Counter()
    failures: list[Row] = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        kinds = [k for k in ("failure", "error", "skipped") if case.find(k) is not None]
        counts[kinds[0] if kinds else "passed"] += 1
        if kinds and kinds[0] != "skipped":
            why = case.find(kinds[0])
            message = "" if why is None else str(why.get("message", ""))
            name = f"{case.get('classname')}::{case.get('name')}"
            failures.append({"test": name, "message": " ".join(message.split())[:300]})
    found: Content = {"counts": dict(counts), "failures": failures}
    return {**found, "output": _tail(log)} if failures or not counts else found


def _tail(log: Path, lines: int = 25) -> list[str]:
    text = log.read_text(encoding="utf-8", errors="replace").replace(str(ROOT), ".")
    return text.splitlines()[-lines:]


def medoids(scale: Scale, device: torch.device, until: Until) -> Iterator[Content]:
    """Exact Euclidean medoids against `torch.cdist`, and against the matrix products alone."""
    shapes = {name: (TINY | SHAPES)[name] for name in scale.logits}
    parts = (
        (f"{name}: {classes} x {n} x {k}", _ways(like_logits(n, k, classes, device), n), classes)
        for name, (n, k, classes) in shapes.items()
    )
    for rows in over_parts("logits", "way", parts, scale.rounds, device):
        yield {"rows": rows}
        if until.over:
            return


def _ways(bank: Tensor, n: int) -> dict[str, Callable[[], object]]:
    wide = bank.float()
    classes = len(bank) // n
    labels = torch.arange(classes, device=bank.device).repeat_interleave(n)
    together = wide.view(classes, n, -1)
    return {
        "toastlab": lambda: class_medoids(bank, labels, scope="all").index.tolist(),
        ROOF: lambda: [torch.mm(z, z.T)[0, 0] for z in together][-1].item(),
        "torch.bmm of all pairs": lambda: torch.bmm(together, together.mT)[-1, 0, 0].item(),
        "torch.cdist, class by class": lambda: torch.stack(
            [torch.cdist(z, z).sum(1).argmin() for z in together]
        ).tolist(),
    }


def waits(scale: Scale, device: torch.device, until: Until) -> Iterator[Content]:
    """Of a step in mid-epoch: how often the host waits, and how many kernels are launched."""
    split, batch_size = images_of(scale, device), scale.batch_sizes[0]
    network, teacher = (network_of(scale, device, seed) for seed in (0, 1))
    bf16 = devices.uses_bf16("auto", device)
    rows: list[Row] = []
    for name in scale.methods:
        if until.over:
            rows.append({"method": name, "skipped": "no time was left"})
            continue
        try:
            trainee = trainee_of(scale, name, split, network, batch_size, bf16, teacher)
            for _ in range(3):
                trainee.step()
            few, many = 1, 3
            # the profiler waits itself, as often for few steps as for many
            first, second = (_seen(trainee, steps) for steps in (few, many))
            counts = {n: (second[n] - first[n]) / (many - few) for n in second}
            stops = {n: c for n, c in counts.items() if n in WAITS and c}
            launches = sum(c for n, c in counts.items() if n.startswith(LAUNCHES))
            row: Row = {"method": name, "waits": sum(stops.values()), "of": stops}
            rows.append({**row, "launches": launches, "kernels": counts.get("kernels", 0.0)})
        except Exception as error:
            rows.append({"method": name, "error": said(error)})
        yield {"batch_size": batch_size, "rows": list(rows)}


def _seen(trainee: Trainee, steps: int) -> Counter[str]:
    """What a profile of so many steps has, by name; `kernels`: what the device itself ran."""
    cuda = trainee.device.type == "cuda"
    devices.wait(trainee.device)
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=kinds) as seen:
        for _ in range(steps):
            trainee.step()
        devices.wait(trainee.device)
    events = seen.events() or []
    here, there = (
        [e.name for e in events if kind in str(e.device_type)] for kind in ("CPU", "CUDA")
    )
    counts = Counter(here)
    counts["kernels"] = sum(not name.startswith(("Memcpy", "Memset")) for name in there)
    return counts


def memory(scale: Scale, device: torch.device, until: Until) -> Iterator[Content]:
    """The most that PyTorch has allocated at a time, against what was counted beforehand."""
    rows: list[Row] = []
    shape = (3, scale.size, scale.size)
    for name in ("cross-entropy", "toast"):
        for precision in ("float32", "bf16"):
            row: Row = {"method": name, "precision": precision, "batch_size": scale.batch_sizes[0]}
            rows.append(row)
            try:
                counted = step_work(
                    at_work(name),
                    scale.model,
                    num_classes=scale.classes,
                    batch_size=scale.batch_sizes[0],
                    samples=scale.samples,
                    shape=shape,
                    bf16=precision == "bf16",
                )
                row["counted_mib"] = counted.memory / 2**20
                row["counted_launches"] = counted.launches
                if device.type == "cuda":
                    row["measured_mib"] = _peak(scale, device, name, precision == "bf16")
            except Exception as error:
                row["error"] = said(error)
            yield {"rows": list(rows)}


def _peak(scale: Scale, device: torch.device, name: str, bf16: bool) -> float:
    """MiB at the peak of some steps, beyond what lay there before."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    split, network = images_of(scale, device), network_of(scale, device)
    trainee = trainee_of(scale, name, split, network, scale.batch_sizes[0], bf16)
    for _ in range(5):
        trainee.step()
    devices.wait(device)
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def demo_configs(scale: Scale) -> list[TrainConfig]:
    """The runs of `toastlab demo`: seeds outermost, noisy labels and clean ones, four arms."""
    return [
        TrainConfig(
            data=DataConfig(noise_rate=noise), method=method, epochs=scale.epochs, seed=seed
        )
        for seed in range(scale.seeds)
        for noise in (NOISE, 0.0)
        for method in ARMS.values()
    ]


def demo(scale: Scale, device: torch.device, until: Until) -> Iterator[Content]:
    """The demo's runs from reading the data to the stored run, one after the other."""
    configs = demo_configs(scale)
    rows: list[Row] = []
    named = {config: name for name, config in ARMS.items()}
    with TemporaryDirectory() as folder:
        store, began = RunStore(folder), time.perf_counter()
        data = {noise: load(DataConfig(noise_rate=noise)) for noise in (NOISE, 0.0)}
        reading = time.perf_counter() - began
        for config in configs:
            if until.over:
                break
            start = time.perf_counter()
            run = store.get(config, dataset=data[config.data.noise_rate], device=str(device))
            row = {"arm": named[config.method], "noise": config.data.noise_rate}
            row |= {"seed": config.seed, "seconds": time.perf_counter() - start}
            row |= {"training": float(run.metrics.train_seconds.sum())}
            rows.append(row | {"test_top1": run.last["test_top1"]})
            yield {
                "of": len(configs),
                "reading": reading,
                "seconds": time.perf_counter() - began,
                "rows": list(rows),
            }
