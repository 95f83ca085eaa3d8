"""`toastlab dashboard` with a page that starts in a second: the server is the real one.

The page has a slider whose every move costs the kernel a fiftieth of a second, and a text that
tells the kernel's process and how many moves it saw. At SIGUSR1 the server writes what it keeps
into the file of LIGHT_PAGE_COUNTS. The server's minutes are short.
"""

import gc
import json
import logging
import os
import signal
from pathlib import Path

from tests.faults.short_minute import MINUTE, shorten
from toastlab.cli.main import main
from toastlab.widgets import dashboard

FIRST = """
import os, time
import ipywidgets as w
kept = {live!r}, {trainings}
slider = w.IntSlider(description="slow", max=1000)
said = w.HTML(f"{{os.getpid()}} 0")
def moved(change):
    end = time.process_time() + 0.02
    while time.process_time() < end:
        pass
    said.value = f"{{os.getpid()}} {{int(said.value.split()[1]) + 1}}"
slider.observe(moved, names="value")
w.VBox([slider, said])
"""

KINDS = ("ServerKernelManager", "Line", "EventLogger", "Channels", "NotebookRenderer")


def count(*signal_and_frame: object) -> None:
    """Writes how many of those there are, of Python's loggers, which are never freed, and of pages
    made ahead."""
    gc.collect()
    things = gc.get_objects()
    names = [type(thing).__name__ for thing in things]
    told = {kind: names.count(kind) for kind in KINDS}
    managers = [thing for thing in things if type(thing).__name__ == "NormalKernelManager"]
    told["made ahead"] = sum(page.work.done() for kernels in managers for page in kernels.ahead)
    told["loggers"] = len(logging.Logger.manager.loggerDict)
    file = Path(os.environ["LIGHT_PAGE_COUNTS"])
    file.with_suffix(".new").write_text(json.dumps(told))
    file.with_suffix(".new").replace(file)


if __name__ == "__main__":
    # for so long Jupyter Server keeps a connection that has ended
    shorten(kernel_info_timeout=MINUTE)
    dashboard.CELLS = (("# light", FIRST), ("## more", "kept = {stored!r}"))
    dashboard.course_runs = lambda store: {}  # type: ignore[attr-defined]
    signal.signal(signal.SIGUSR1, count)
    main()
