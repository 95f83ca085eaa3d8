"""Makes the notebooks for Colab: `python docs/site/colab.py OWNER/NAME build/colab`.

Colab opens a notebook alone, without the repository around it. So each one begins with a cell that
fetches the repository and installs what Colab lacks; the other cells are those of the notebook. The
notebooks in the repository install nothing.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
# Colab has PyTorch, NumPy, scikit-learn, pandas, Matplotlib and its own Jupyter: no server is
# installed there, only what the notebooks import.
PACKAGES = ("joblib", "threadpoolctl", "rich", "seaborn", "anywidget>=0.9.13,<1")
FIRST = """# Colab only: fetches toastlab with its stored runs, installs what is missing (a minute).
!git clone --quiet --depth 1 https://github.com/{repository} /content/toastlab
%pip install --quiet --editable "/content/toastlab[train]" {packages}
import sys
sys.path.insert(0, "/content/toastlab")
%cd -q /content/toastlab/notebooks
from google.colab import output
output.enable_custom_widget_manager()"""


def for_colab(book: dict[str, Any], repository: str) -> dict[str, Any]:
    """A notebook with the cell before its first one.

    Args:
        book: as JSON has it; stays as it is.
        repository: `owner/name` on GitHub.
    """
    packages = " ".join(f'"{name}"' for name in PACKAGES)
    source = FIRST.format(repository=repository, packages=packages).splitlines(keepends=True)
    cell = {
        "cell_type": "code",
        "id": "colab",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": source,
    }
    return {**book, "cells": [cell, *book["cells"]]}


def main(repository: str, target: str) -> None:
    """Writes all of them into a folder."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        sys.exit(f"{repository!r} is no repository; name it as owner/name.")
    folder = Path(target)
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(NOTEBOOKS.glob("*.ipynb")):
        book = for_colab(json.loads(file.read_text(encoding="utf-8")), repository)
        text = json.dumps(book, indent=1, ensure_ascii=False) + "\n"
        (folder / file.name).write_text(text, encoding="utf-8")
    print(f"{len(list(folder.glob('*.ipynb')))} notebooks in {target}")


if __name__ == "__main__":
    main(*sys.argv[1:])
