"""For all tests: what toastlab remembers of files goes to a folder that is thrown away, and Ctrl-C
ends what tests start."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`-m gpu` reads the files that have such tests and no others: a machine that is lent for its
    GPU need not have what those import."""
    if config.option.markexpr != "gpu":
        return None
    inside = collection_path.rglob("test_*.py") if collection_path.is_dir() else [collection_path]
    code = (f.read_text(encoding="utf-8") for f in inside if f.suffix == ".py")
    return None if any("mark.gpu" in text for text in code) else True


@pytest.fixture(autouse=True, scope="session")
def nothing_is_left_at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOASTLAB_CACHE", str(tmp_path_factory.mktemp("sums")))
        yield


@pytest.fixture(autouse=True, scope="session")
def interrupts_arrive() -> None:
    """A shell that starts the tests in the background has them ignore SIGINT, and whatever they
    start would do so, too."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
