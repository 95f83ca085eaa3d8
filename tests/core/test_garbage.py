"""Nothing is collected while our own starts import."""

import subprocess
import sys

import pytest

COUNTED = """
import gc, sys
import toastlab.cli.start
seen = []
gc.callbacks.append(lambda phase, about: seen.append(phase))
{start}
assert "torch" in sys.modules
assert gc.isenabled()
print(len(seen))
"""
STARTS = {
    "library": "from toastlab import TrainConfig",
    "command": """
from toastlab.cli.main import main
try:
    main(["train", "toast", "--help"])
except SystemExit:
    pass
print()
""",
    "as it would be": "import toastlab.training.config",
}


@pytest.mark.parametrize("name", STARTS)
def test_nothing_is_collected_while_pytorch_is_imported(name: str) -> None:
    code = COUNTED.format(start=STARTS[name])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count = int(done.stdout.split()[-1])
    assert count > 500 if name == "as it would be" else count < 100, count
