"""Starts a server for a test, as a script does: no terminal, no browser; and ends all of it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 300  # until it answers, or has ended, on a machine that is busy with something else


def answers(address: str) -> bool:
    """Whether somebody listens at http://host:port."""
    host, port = address.removeprefix("http://").split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=10):
        return True
    return False


@contextlib.contextmanager
def started(
    folder: Path, *words: str, program: Sequence[str] = ("-m", "toastlab"), **environment: str
) -> Iterator[tuple[str, str, Path]]:
    """`python -m toastlab WORDS` in `folder`; address and token from what it says, and its log."""
    log = folder / "said.log"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER_")}
    kept |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, *program, *words, "--no-open-browser"],
            cwd=folder,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + SECONDS
        said = r"(http://127[^/]+)/\S*\?token=(\w+)"
        # Jupyter Server says its address before it listens there
        while not ((found := re.search(said, log.read_text())) and answers(found[1])):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield found[1], found[2], log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
