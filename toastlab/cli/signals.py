"""Ctrl-C and TERM end a command in one line, from the start of Python's imports to its end."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SAID = {signal.SIGINT: b"interrupted", signal.SIGTERM: b"ended by TERM"}


class Signals:
    """While it is entered, Ctrl-C (INT) and TERM raise `KeyboardInterrupt` in the main thread, so
    that both end workers, keep what was done, and leave by the same way.

    Before `ready`, they end the process at once: nothing has been begun, and an import that is torn
    open in the midst of C code can come out as any other error. A second signal does so, too.

    Signals that are ignored, as under `nohup` or behind `&`, stay ignored. In another thread, where
    Python allows no handlers, and inside another `Signals` it changes nothing.

    Attributes:
        got: the signal that came; 0: none.
    """

    def __init__(self) -> None:
        self.got, self._ready = 0, False
        self._before: dict[int, Any] = {}

    @property
    def code(self) -> int:
        """The exit code that shells give a command which a signal has ended."""
        return 128 + (self.got or signal.SIGINT)

    def ready(self) -> None:
        """From now on there is something to end in an orderly way."""
        self._ready = True

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
            for number, handler in usual.items():
                if signal.getsignal(number) == handler:
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._take:  # else somebody else's by now
                signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        first, self.got = not self.got, number
        if first and self._ready:
            raise KeyboardInterrupt
        if first:
            os.write(2, b"toastlab: " + SAID[signal.Signals(number)] + b".\n")
        os._exit(self.code)
