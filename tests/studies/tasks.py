"""What `test_pool.py` has workers do. They import this file: with PyTorch it would take seconds."""

import os
import signal
from pathlib import Path


def square(i: int) -> int:
    return i * i


def die_at_1(i: int) -> int:
    """Kills its process at 1."""
    if i == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return i


def die_at_2(i: int, folder: str, once: bool) -> int:
    """Kills its process at 2, the first time or always; notes what it finishes."""
    mark = Path(folder) / "dead"
    if i == 2 and not (once and mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with open(Path(folder) / f"{i}", "a") as file:
        file.write("x")
    return i
