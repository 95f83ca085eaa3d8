"""Times of training steps: every method against cross-entropy, eager, compiled, as CUDA graphs.

In turns, on the device's own clock; a ratio is the median over the rounds.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import torch

from toastlab.bench.config import BASE, Row, against
from toastlab.bench.gpu.captured import captured
from toastlab.bench.gpu.scale import Content, Scale, Until, images_of, network_of, trainee_of
from toastlab.bench.trainee import Trainee
from toastlab.training import device as devices

EAGER = f"{BASE}, eager"  # the reference where steps are compiled or captured
Work = Callable[[], object]


def eager(scale: Scale, device: torch.device, until: Until) -> Iterator[Content]:
    """Steps as they are written."""
    return _sizes(scale, device, until, _eager)


def compiled(scale: Scale, device: torch.device, until: Until) -> Iterator[Content]:
    """Network and loss by `torch.compile`; only methods whose images each pass once."""
    return _sizes(scale, device, until, _compiled)


def graphs(scale: Scale, device: torch.device, until: Until) -> Iterator[Content]:
    """The whole step, optimizer and all, as one CUDA graph."""
    if device.type != "cuda":
        yield {"skipped": f"there are no CUDA graphs on a {device.type}"}
        return
    yield from _sizes(scale, device, until, _graphs)


Made = tuple[dict[str, tuple[Trainee, Work]], list[Row]]


def _sizes(
    scale: Scale,
    device: torch.device,
    until: Until,
    make: Callable[[Scale, "_Start", Until], Made],
) -> Iterator[Content]:
    """Rows of each batch size after the other; each has its share of the time."""
    done: list[Row] = []
    for i, batch_size in enumerate(scale.batch_sizes):
        share = Until(until.left / (len(scale.batch_sizes) - i))
        start = _Start(scale, device, batch_size)
        trainees, failed = make(scale, start, share)
        at = {"batch_size": batch_size}
        failed = [{**at, **row} for row in failed]
        yield {"rows": done + failed}
        rows: list[Row] = []
        for so_far in _timed(scale, trainees, device, share):
            rows = [{**at, **row} for row in so_far]
            yield {"rows": done + rows + failed}
        done += rows + failed
        del trainees, start
        if device.type == "cuda":
            torch.cuda.empty_cache()


class _Start:
    """What the trainees of one batch size share."""

    def __init__(self, scale: Scale, device: torch.device, batch_size: int) -> None:
        self.scale, self.device, self.batch_size = scale, device, batch_size
        self.split = images_of(scale, device)
        self.network, self.teacher = (network_of(scale, device, seed) for seed in (0, 1))
        self.bf16 = devices.uses_bf16("auto", device)

    def trainee(self, name: str) -> Trainee:
        return trainee_of(
            self.scale, name, self.split, self.network, self.batch_size, self.bf16, self.teacher
        )


def _each(scale: Scale, until: Until, make: Callable[[str], tuple[Trainee, Work | str]]) -> Made:
    """What could be made of each method, tried out, and rows that say why the others could not.

    Args:
        make: gives the trainee of a method and what is to be timed, or why it is left out.
    """
    made: dict[str, tuple[Trainee, Work]] = {}
    failed: list[Row] = []
    for name in scale.methods:
        if until.over and len(made) > 1:  # two at least, or nothing could be compared
            failed.append({"method": name, "skipped": "no time was left"})
            continue
        try:
            began = time.perf_counter()
            trainee, work = make(name)
            if isinstance(work, str):
                failed.append({"method": name, "skipped": work})
                continue
            for _ in range(2):
                work()
            devices.wait(trainee.device)
            trainee.started = time.perf_counter() - began
            made[name] = (trainee, work)
        except Exception as error:  # each method by itself: one must not cost the others
            failed.append({"method": name, "error": said(error)})
    return made, failed


def _eager(scale: Scale, start: _Start, until: Until) -> Made:
    def make(name: str) -> tuple[Trainee, Work]:
        trainee = start.trainee(name)
        return trainee, trainee.step

    return _each(scale, until, make)


def _compiled(scale: Scale, start: _Start, until: Until) -> Made:
    torch._dynamo.reset()
    backend, share = scale.compiler, Until(0.75 * until.left)  # the rest is for the clock
    network = torch.compile(start.network, backend=backend, dynamic=False)

    def make(name: str) -> tuple[Trainee, Work | str]:
        trainee = start.trainee(name)
        if not trainee.is_plain:
            return trainee, "its images pass through the network in a way of its own"
        trainee.compile(network, backend)
        return trainee, trainee.step

    # last what takes longest: Triton has a minute's work with Zipf's sort
    last = replace(scale, methods=tuple(sorted(scale.methods, key=lambda name: name == "zipf")))
    made, failed = _each(last, share, make)
    return {**made, **_reference(start, made)}, failed


def _graphs(scale: Scale, start: _Start, until: Until) -> Made:
    def make(name: str) -> tuple[Trainee, Work]:
        trainee = start.trainee(name)
        return trainee, captured(trainee)

    made, failed = _each(scale, Until(0.7 * until.left), make)
    return {**made, **_reference(start, made)}, failed


def _reference(start: _Start, made: Mapping[str, object]) -> dict[str, tuple[Trainee, Work]]:
    """Cross-entropy's eager step beside the others, if there are any."""
    if not made:
        return {}
    trainee = start.trainee(BASE)
    return {EAGER: (trainee, trainee.step)}


def _timed(
    scale: Scale,
    trainees: Mapping[str, tuple[Trainee, Work]],
    device: torch.device,
    until: Until,
) -> Iterator[list[Row]]:
    """Rows of all trainees so far, after each round."""
    if not trainees or until.over:
        return
    one = sum(_seconds(work, device) for _, work in trainees.values())
    # half of what is left, so that a machine that slows down does not run over
    steps = int(until.left / 2 / max(one * (scale.rounds + 1), 1e-9))
    steps = max(1, min(scale.steps, steps))
    works = {name: _many(*pair, steps) for name, pair in trainees.items()}
    for rows in against(works, scale.rounds, device, steps, "method"):
        yield [_row(row, trainees[row["method"]][0], steps, rows[0]) for row in rows]
        if until.over:
            return


def _many(trainee: Trainee, work: Work, steps: int) -> Work:
    def run() -> None:
        trainee.rewind()
        for _ in range(steps):
            work()

    return run


def _row(row: Row, trainee: Trainee, steps: int, base: Row) -> Row:
    """`step_ratio` and `image_ratio`: time of a step, and of a new image, over that of the first,
    which is cross-entropy's; `start_s`: what building, compiling and the first steps took."""
    method = trainee.method
    per_image = method.batch_size / method.new_per_batch
    return {
        "method": row["method"],
        "step_ms": 1000 * row["seconds"] / steps,
        "images_per_second": method.new_per_batch * steps / row["seconds"],
        "step_ratio": row["time_ratio"],
        "image_ratio": row["time_ratio"] * per_image,
        "to": base["method"],
        "steps": steps,
        "start_s": trainee.started,
        "rounds": row["rounds"],
    }


def _seconds(work: Work, device: torch.device) -> float:
    """Seconds on the clock of the second of two calls, to the end of what the device has to do."""
    for _ in range(2):
        began = time.perf_counter()
        work()
        devices.wait(device)
    return time.perf_counter() - began


def said(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:400]}"
