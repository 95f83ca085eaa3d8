"""How nbval runs the notebooks: steady threads, time enough, no progress and no tables compared."""

import os
from pathlib import Path

import pytest

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")


def pytest_configure(config: pytest.Config) -> None:
    """Digits that may drift are read over, see sanitize.cfg, unless the command line says else."""
    if getattr(config.option, "nbval_sanitize_with", "") is None:
        config.option.nbval_sanitize_with = str(Path(__file__).with_name("sanitize.cfg"))


def pytest_collectstart(collector: pytest.Collector) -> None:
    """stderr is progress; HTML and pictures differ from version to version without meaning it."""
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("text/html", "stderr", "image/svg+xml")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """nbval gives a cell five seconds to answer after its last output; a busy machine needs more."""
    for item in items:
        if hasattr(item, "cell") and hasattr(item, "parent"):
            setattr(item.parent, "output_timeout", 60)
