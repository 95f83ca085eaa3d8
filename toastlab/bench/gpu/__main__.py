"""`python -m toastlab.bench.gpu`: the measurement without the packages of the command line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from toastlab.bench.gpu.run import JSON, PAGE, PARTS, measure, measured, saved, scale_of
from toastlab.core.errors import ToastlabError, some_of
from toastlab.training import device as devices


def main(argv: Sequence[str] | None = None) -> int:
    """Runs it; 0: every part ended by itself, 1: one failed or was cut off, 2: wrong input."""
    ask = argparse.ArgumentParser("python -m toastlab.bench.gpu", description=__doc__)
    ask.add_argument("--device", default="auto", help="auto, cuda, cuda:1 or cpu")
    ask.add_argument("--small", action="store_true", help="seconds, to see that it works")
    ask.add_argument("--parts", nargs="+", default=list(PARTS), help=", ".join(PARTS))
    ask.add_argument("--json", default="", help=f"where the results go; on CUDA {JSON}")
    ask.add_argument("--page", default="", help=f"where the page goes; on CUDA {PAGE}")
    ask.add_argument("--part", default="", help=argparse.SUPPRESS)  # a process of one part
    ask.add_argument("--into", default="", help=argparse.SUPPRESS)
    ask.add_argument("--seconds", type=float, default=60.0, help=argparse.SUPPRESS)
    given = ask.parse_args(argv)
    try:
        device = str(devices.choose(given.device))
        some_of("part", [given.part] if given.part else given.parts, PARTS)
        scale, into = scale_of(given.small, device), Path(given.into)
        if given.part:
            part = PARTS[given.part]
            measured(part, scale, device, given.seconds, lambda found: saved(into, found))
            return 0
        failed = measure(scale, device, tuple(given.parts), given.json, given.page, _say)
    except ToastlabError as error:
        sys.stderr.write(f"toastlab: {error}\n")
        return 2
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # whoever reads along a pipe wants to see how far it is


if __name__ == "__main__":
    raise SystemExit(main())
