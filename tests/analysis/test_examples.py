"""The examples of docs/analyse.md, run as they stand."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.helpers import module_at

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PER_CLASS, WRONG = 90, 8


def image_folder(root: Path) -> set[str]:
    """Two classes, dark at the top and dark at the bottom; a few lie in the wrong folder. Returns
    the names of these."""
    g = np.random.default_rng(0)
    wrong = set()
    for c, name in enumerate(("top", "bottom")):
        (root / name).mkdir(parents=True)
        for i in range(PER_CLASS):
            looks = c if i >= WRONG else 1 - c
            pixels = g.integers(120, 256, (16, 16, 3), dtype=np.uint8)
            half = slice(0, 8) if looks == 0 else slice(8, 16)
            pixels[half] //= 3
            Image.fromarray(pixels).save(root / name / f"{i:02}.png")
            wrong |= {f"{name}/{i:02}.png"} if i < WRONG else set()
    return wrong


def test_ten_lines_lead_to_the_most_doubtful_of_ones_own_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (EXAMPLES / "suspicious_images.py").read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if line.strip()]) <= 10, "pip's line included"
    wrong = image_folder(tmp_path / "my_images")
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "suspicious_images.py", "exec"), {})
    table = pd.read_csv("suspicious.csv")
    assert len(table) == 100
    assert table["aum"].is_monotonic_increasing
    there = wrong & set(table["id"])
    assert len(there) >= WRONG
    first = set(table["id"][: len(there)])
    assert len(first & there) >= 0.75 * len(there)


def test_the_page_shows_the_example() -> None:
    page = (ROOT / "docs" / "analyse.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    assert code == (EXAMPLES / "suspicious_images.py").read_text(encoding="utf-8")


def test_the_page_lists_every_column() -> None:
    from toastlab.analysis.sample_table import COLUMNS
    from toastlab.analysis.scores import SCORES

    page = (ROOT / "docs" / "analyse.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (`[^|]+) \|[^|]*\|([^|]*)\|$", page, re.M))
    named = {name: source for cell, source in rows.items() for name in re.findall(r"`(\w+)`", cell)}
    assert set(named) == set(COLUMNS)
    for name, score in SCORES.items():
        assert named[name].strip() == score.source, name


def test_three_lines_in_a_loop(tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = module_at(EXAMPLES / "recorder.py").main(2, tmp_path / "samples.csv")
    assert len(pd.read_csv(tmp_path / "samples.csv")) == len(found.table)
    assert found.suspicious(100)["flipped"].mean() > 0.8
    assert found.images_at([0]).shape == (1, 1, 28, 28)
    lines = (EXAMPLES / "recorder.py").read_text(encoding="utf-8").splitlines()
    assert [line[-1] for line in lines if re.search(r"# \d$", line)] == ["1", "2", "3"]
