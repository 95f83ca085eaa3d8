"""Whoever adds a public name adds its fuzz case, or says here why there is none."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import toastlab
from tests.fuzz import CASES, COVERED, LONG, name_of

HERE = Path(__file__).parent
PURE = (
    *("augment", "bank", "carry", "classmates", "data", "distances", "dynamics", "embedding"),
    *("losses", "medoids", "metrics", "mixing", "models", "noise", "space", "stream"),
)
# Of modules that do more than compute: what of them is to be fuzzed.
PARTS = {
    "compare": ("interval", "differences", "bootstrap_interval", "paired_p", "holm", "verdict"),
    "config": ("TrainConfig", "make_optimizer", "make_schedule"),
    "runs": ("to_json", "from_json", "run_key"),
    "sweep": ("Sweep", "label"),
}
WITHOUT = {
    "toastlab.data.DiskSplit": "reads files: tests/test_data.py and the tests of the readers",
    "toastlab.embedding.Layouts": "holds what was read: tests/test_embedding.py",
    "toastlab.embedding.layout": "t-SNE, a second a case: tests/test_embedding.py",
    "toastlab.embedding.count": "a product of constants",
    "toastlab.embedding.make": "needs runs: tests/test_embedding.py",
    "toastlab.embedding.save": "writes files: tests/test_embedding.py",
    "toastlab.embedding.load_layouts": "reads files: tests/test_embedding.py",
    "toastlab.methods.base.MethodConfig": "the base: every config of a method is fuzzed",
    "toastlab.methods.base.Method": "built by every config: build is fuzzed, and each in a loop",
    "toastlab.models.draw": "calls a function of the user's: tests/test_own_network.py",
    "toastlab.models.own": "takes a user's network: tests/test_own_network.py",
    "toastlab.methods.toast.Toast": "built by ToastConfig.build",
    "toastlab.runs.Run": "a folder on disk: tests/test_runs.py",
    "toastlab.runs.RunStore": "a folder on disk: tests/test_runs.py, test_lease.py, test_disk.py",
}


def public() -> dict[str, Any]:
    found = {}
    for module in PURE:
        room = importlib.import_module(f"toastlab.{module}")
        for name, thing in vars(room).items():
            own = getattr(thing, "__module__", "") == room.__name__ and callable(thing)
            if own and not name.startswith("_") and not inspect.isgeneratorfunction(thing):
                found[name_of(thing)] = thing
    for module, names in PARTS.items():
        room = importlib.import_module(f"toastlab.{module}")
        found |= {name_of(getattr(room, name)): getattr(room, name) for name in names}
    return found | {name_of(getattr(toastlab, name)): name for name in toastlab.__all__}


def load_all() -> None:
    for file in sorted(HERE.glob("test_fuzz_*.py")):
        importlib.import_module(f"tests.{file.stem}")


def test_every_public_name_is_fuzzed() -> None:
    load_all()
    covered = {name for names in COVERED.values() for name in names}
    missing = sorted(public().keys() - covered - WITHOUT.keys())
    assert not missing, f"no fuzz case, see tests/fuzz.py: {missing}"
    assert not WITHOUT.keys() & covered, "fuzzed after all"


def test_number_of_cases() -> None:
    """Each test asserts that it made as many as it says here."""
    load_all()
    assert sum(CASES.values()) >= (10_000 if LONG else 600)
