"""Ctrl-C and TERM while Python still imports: no traceback, and the usual exit code."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from toastlab.cli.signals import Signals

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("module", ["toastlab.cli.overview", "numpy", "torch", "pandas", "tyro"])
def test_a_signal_during_imports_is_quiet(module: str, number: int, tmp_path: Path) -> None:
    """The signal comes when `module`, which Python names as it is done with it, is imported."""
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "toastlab", "train", "toast", "--epochs", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.split("|")[-1].strip() == module:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    said = [line for line in err.splitlines() if not line.startswith("import time:")]
    assert process.returncode == 128 + number, (out, said)
    assert said == [f"toastlab: {'interrupted' if number == signal.SIGINT else 'ended by TERM'}."]
    assert not list(tmp_path.iterdir())


def test_once_ready_a_signal_is_an_exception() -> None:
    with Signals() as signals:
        signals.ready()
        assert signals.code == 130
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert signals.code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_what_others_handle_or_ignore_stays_theirs() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as behind `&` in a script
    try:
        with Signals() as outer, Signals() as inner:
            outer.ready()
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
            assert (outer.got, inner.got) == (signal.SIGTERM, 0)
    finally:
        signal.signal(signal.SIGINT, before)
    seen: list[object] = []

    def elsewhere() -> None:
        with Signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]
