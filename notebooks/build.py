"""Makes the notebooks from notebooks/src/*.py: converts, runs them in order, keeps the outputs.

    .venv/bin/python notebooks/build.py            # all of them
    .venv/bin/python notebooks/build.py 03 10      # those that begin so

The sources are the truth; a test holds the cells of each notebook to its source.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

# Fixed before a kernel starts: noise reduction for digits, not a guarantee across machines.
STEADY = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
HERE = Path(__file__).parent
WIDGET = "application/vnd.jupyter.widget-view+json"
LARGE = {"03": "medoids.png", "10": "map.png"}  # pictures that docs/ shows large
FIRST = ("06", "09")  # whose first picture stands for them
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def convert(source: Path) -> Any:
    """The notebook of a source, not run, with cell ids that depend on the place only."""
    import jupytext

    book = jupytext.read(source)
    book.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for i, cell in enumerate(book.cells):
        cell["id"] = f"{source.stem[:2]}-{i:02d}"
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags"}
    return book


def run(book: Any) -> Any:
    """Runs a notebook in notebooks/ and cleans what it leaves."""
    from nbclient import NotebookClient

    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": HERE}},
                   record_timing=False).execute()
    book.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in book.cells:
        kept = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                if output.name == "stderr":
                    continue  # progress
                if kept and kept[-1].output_type == "stream":
                    kept[-1].text += output.text  # what was printed comes in pieces, split by chance
                    continue
            if "data" in output:
                # without a kernel the widget is dead; its picture and sentence beside it are not
                output.data.pop(WIDGET, None)
                alt = output.metadata.get("image/png", {}).get("alt")
                output.metadata = {"image/png": {"alt": alt}} if alt else {}
            kept.append(output)
        if "outputs" in cell:
            cell.outputs = kept
    return book


def thumbnail(book: Any, target: Path, size: tuple[int, int] = (300, 150)) -> None:
    """The picture of the notebook's panel, or its last one, small, for the README."""
    import base64
    import io

    from PIL import Image

    found = [
        (cell.source, output.data["image/png"])
        for cell in book.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    of_panel = [png for source, png in found if "Panel(" in source]
    if any(cell["id"].startswith(FIRST) for cell in book.cells[:1]):
        of_panel = [found[0][1]]
    picture = Image.open(io.BytesIO(base64.b64decode((of_panel or [found[-1][1]])[0])))
    picture = picture.convert("RGB")
    picture.thumbnail(size)
    target.parent.mkdir(exist_ok=True)
    picture.quantize(64).save(target, optimize=True)


def main(*begins: str) -> None:
    """Builds the notebooks whose names begin so, or all."""
    import nbformat

    os.environ.update(STEADY)
    for source in sorted((HERE / "src").glob("*.py")):
        if not source.stem.startswith(begins or ("",)):
            continue
        start = time.perf_counter()
        book = run(convert(source))
        target = HERE / f"{source.stem}.ipynb"
        nbformat.write(book, target)
        thumbnail(book, HERE / "pictures" / f"{source.stem}.png")
        for begin_of, name in LARGE.items():
            if source.stem.startswith(begin_of):
                thumbnail(book, HERE / "pictures" / name, (900, 700))
        size = target.stat().st_size / 1e6
        print(f"{target.name}: {time.perf_counter() - start:.0f} s, {size:.1f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
