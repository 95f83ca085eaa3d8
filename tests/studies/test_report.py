"""The report: whole in one file, its numbers those of the runs, its sentences those of the rule."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from toastlab.analysis.statistics import BASELINE
from toastlab.data.dataset import DataConfig
from toastlab.store.runs import Run
from toastlab.studies.arms import Job, plan
from toastlab.studies.report import findings, summary, write
from toastlab.studies.rows import run_table
from toastlab.studies.runner import run_all
from toastlab.training.config import TrainConfig

Done = list[tuple[Job, Run]]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    base = TrainConfig(epochs=2, batch_size=64)
    settings = {
        "noisy <digits>": DataConfig(name="digits", noise_rate=0.2),
        "clean": DataConfig(name="digits"),
    }
    jobs = plan([BASELINE, "TOAST"], 2, base, settings)
    store = tmp_path_factory.mktemp("store")
    found = dict(run_all(jobs, store, device="cpu", workers=1))
    return [(job, found[job]) for job in jobs]


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.alts: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action"):
                self.links.append(value or "")
            if name == "alt":
                self.alts.append(value or "")


def test_one_file_that_needs_no_network(done: Done, tmp_path: Path) -> None:
    path = write(tmp_path / "sub" / "report.html", done, run_table(done), "toastlab demo")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"url\(|@import|<script|https?://", text)
    assert len(page.alts) == page.tags.count("img")
    assert all(len(alt) > 40 for alt in page.alts)
    assert "noisy &lt;digits&gt;" in text
    assert "noisy <digits>" not in text
    for must in ("medoid", "variability", "most under-trained", "Reliability", "toastlab demo"):
        assert must.lower() in text.lower(), must
    # forest, 2 x curves, medoids, data map, gallery, 2 x reliability
    assert page.tags.count("img") == 8


def test_summary_says_what_the_runs_say(done: Done) -> None:
    rows, table = summary(run_table(done)), run_table(done)
    row = rows[(rows.setting == "clean") & (rows.method == "TOAST")].iloc[0]
    mine = table[(table.setting == "clean") & (table.method == "TOAST")].sort_values("seed")
    base = table[(table.setting == "clean") & (table.method == BASELINE)].sort_values("seed")
    mean, sd = 100 * mine.test_top1.mean(), 100 * mine.test_top1.std()
    assert row["top-1 %"] == f"{mean:.1f} ± {sd:.1f}"
    gap = 100 * np.mean(mine.test_top1.to_numpy() - base.test_top1.to_numpy())
    assert row["top-1 difference"].startswith(f"{gap:+.1f} [")
    first = rows[rows.method == BASELINE]
    assert (first.verdict == "").all()


def test_findings_name_noise_as_noise() -> None:
    def rows(method: str, values: list[float]) -> list[dict[str, object]]:
        return [
            {"setting": "s", "method": method, "seed": i, "test_top1": v, "test_nll": 1 - v}
            | {"test_ece": 0.1 + (0.001 if i and method != BASELINE else 0), "seconds": 1.0}
            for i, v in enumerate(values)
        ]

    table = pd.DataFrame(
        rows(BASELINE, [0.5, 0.6, 0.7])
        + rows("clear", [0.6, 0.7, 0.801])
        + rows("noise", [0.6, 0.5, 0.72])
    )
    top1, nll, ece = findings(table)
    assert "better: clear (+10.0)" in top1
    assert "within seed noise: noise (+0.7)" in top1
    assert "better: clear (-0.100)" in nll
    assert "within seed noise: clear" in ece


def test_one_seed_claims_nothing(done: Done, tmp_path: Path) -> None:
    single = [(job, run) for job, run in done if job.config.seed == 0]
    text = write(tmp_path / "r.html", single, run_table(single), "x").read_text(encoding="utf-8")
    assert "one seed: nothing to say" in text
    assert "better:" not in text
    assert "nan" not in re.sub(r"base64,[^']*", "", text).lower()
