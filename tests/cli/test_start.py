"""How soon the command line answers: what it loads, and the processor time that this takes."""

import subprocess
import sys
from statistics import median

import pytest

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

LIGHT = [
    "",
    "--help",
    "--version",
    "train --help",
    "sweep",
    "data",
    "trian",
    "train toats",
    "peers",
]
STUDIES = ["study", "study list", "study run", "study run pers", "study run peers --help"]
HEAVY = {"torch", "torchvision", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "IPython"}
LOADED = """
import sys
from toastlab.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(*{name.split(".")[0] for name in sys.modules})
"""


@pytest.mark.parametrize("command", LIGHT + STUDIES)
def test_what_needs_no_network_loads_none(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *command.split()], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "toastlab" in loaded
    assert not loaded & HEAVY
    if command in LIGHT:
        assert not loaded & {"rich", "tyro"}


def test_the_dashboards_first_picture_needs_no_torchvision_and_no_scikit_learn() -> None:
    """Each takes a second or two of the time that its visitor may wait."""
    code = (
        "import sys\n"
        "from toastlab.widgets import AblationPanel\n"
        "assert AblationPanel().picture.value\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "matplotlib" in loaded
    assert not loaded & {"torchvision", "sklearn"}


@pytest.mark.bar
@pytest.mark.skipif(resource is None, reason="processor time is not known here")
@pytest.mark.parametrize(("command", "limit"), [("--help", 0.5), ("train --help", 1.0)])
def test_the_help_is_there_at_once(command: str, limit: float) -> None:
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "toastlab", *command.split()], capture_output=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert median(seconds) <= limit, seconds
