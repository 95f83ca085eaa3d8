"""Every error that toastlab raises on purpose is a `ToastlabError`; no assertion reaches a user."""

import ast
import builtins
import pickle
from pathlib import Path

import pytest

import toastlab
from toastlab.core import errors
from toastlab.core.errors import ToastlabError

PACKAGE = Path(toastlab.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# What else may be raised: what Python or another library asks for at that place.
OTHERS = {
    "OSError": "a file that is none, as `open` says it",
    "IsADirectoryError": "the same",
    "AttributeError": "of a lazy module",
    "SystemExit": "the end of a command",
    "HTTPError": "a server's answer",
    "TraitError": "a control's answer",
}
CLASSES = [c for c in vars(errors).values() if isinstance(c, type)]
ERRORS = [c for c in CLASSES if issubclass(c, Exception) and not issubclass(c, Warning)]


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_what_is_raised_and_that_nothing_is_asserted(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
            continue  # again, or what a function of ours made
        called = node.exc.func
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        if hasattr(builtins, name) or name == "HTTPError":
            assert name in OTHERS, f"line {node.lineno}: {name}"


@pytest.mark.parametrize("kind", ERRORS, ids=lambda c: c.__name__)
def test_one_base_class(kind: type[Exception]) -> None:
    assert issubclass(kind, ToastlabError)
    assert (kind.__doc__ or "").strip()


def test_what_they_were_before_they_still_are() -> None:
    """Code that catches Python's own errors goes on to work."""
    for kind in ("DataError", "DeviceError", "TrainingDiverged", "WorkerError", "StoreError"):
        assert issubclass(getattr(errors, kind), ValueError)
    assert issubclass(errors.BadType, TypeError)
    assert issubclass(errors.PackageMissing, ImportError)
    assert issubclass(errors.StateError, RuntimeError)
    assert not issubclass(errors.RankLost, ValueError)


def test_they_come_back_from_a_worker_process() -> None:
    for kind in ERRORS:
        if kind is not errors.PackageMissing:  # is made of another error
            again = pickle.loads(pickle.dumps(kind("a line.")))
            assert type(again) is kind
            assert str(again) == "a line."
