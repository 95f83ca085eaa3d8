"""`toastlab dashboard` with a page that starts in a second: the server is the real one.

The page has a slider whose every move costs the kernel a fiftieth of a second, and a text that
tells the kernel's process and how many moves it saw. At SIGUSR1 the server writes what it keeps
into the file of LIGHT_PAGE_COUNTS. A minute of this server lasts `MINUTE` seconds, so that nobody
waits long for what happens when it is over.
"""

import gc
import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

from toastlab.cli.main import main
from toastlab.widgets import dashboard, voila_app

MINUTE = 12  # seconds

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
    """Writes how many of those there are, and of Python's loggers, which are never freed."""
    gc.collect()
    names = [type(thing).__name__ for thing in gc.get_objects()]
    told = {kind: names.count(kind) for kind in KINDS}
    told["loggers"] = len(logging.Logger.manager.loggerDict)
    file = Path(os.environ["LIGHT_PAGE_COUNTS"])
    file.with_suffix(".new").write_text(json.dumps(told))
    file.with_suffix(".new").replace(file)


def shorter(*page: Any, **named: Any) -> dict[str, dict[str, Any]]:
    """The dashboard's settings with that minute. How long a page may take to connect stays."""
    made = settings(*page, **named)
    made["VisitorKernels"]["gone_after"] *= MINUTE / 60
    # after which Jupyter Server forgets a connection that has ended
    made["MappingKernelManager"]["kernel_info_timeout"] = MINUTE
    return made


if __name__ == "__main__":
    settings, voila_app.settings = voila_app.settings, shorter
    voila_app.CULL_EVERY = 1
    dashboard.CELLS = (("# light", FIRST), ("## more", "kept = {stored!r}"))
    dashboard.course_runs = lambda store: {}  # type: ignore[attr-defined]
    signal.signal(signal.SIGUSR1, count)
    main()
