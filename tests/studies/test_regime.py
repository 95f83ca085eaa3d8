"""The regime map: its cells, gains, figure, panel, and the stored runs."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from toastlab.analysis.statistics import BASELINE, interval, paired_p
from toastlab.data.dataset import DataConfig
from toastlab.data.dataset import load as load_data
from toastlab.plots import describe_regime_view, regime_view
from toastlab.store.names import run_key
from toastlab.studies.arms import ARMS
from toastlab.studies.catalogue import STUDIES
from toastlab.studies.regime import (
    AXES,
    MEASURES,
    METHODS,
    SEEDS,
    Cell,
    cells,
    clearly,
    config_of,
    gain_where_chosen,
    gains,
    load,
    lost,
    summary,
)
from toastlab.widgets import RegimePanel


def small(seed: int = 0) -> pd.DataFrame:
    """A map of made-up numbers, TOAST clearly better in the first cell and worse in the second."""
    random = np.random.default_rng(seed)
    rows = []
    for i, cell in enumerate(cells()):
        for s in SEEDS:
            base = random.normal(0.7, 0.02)
            shift = {0: 0.1, 1: -0.1}.get(i, 0.0) + random.normal(0, 0.001) * (i < 2)
            shift += random.normal(0, 0.05) * (i >= 2)
            for method, value in ((BASELINE, base), ("TOAST", base + shift)):
                measures = {"test_top1": value, "test_nll": 1 - value, "test_ece": 0.5 - value / 2}
                rows.append({**vars(cell), "method": method, "seed": s, **measures})
    return pd.DataFrame(rows)


def test_the_map_is_as_large_as_it_must_be() -> None:
    assert tuple(len(values) for values in AXES.values()) >= (4, 3, 3, 2)
    assert len(cells()) == len(set(cells())) == 72
    assert len(SEEDS) >= 3
    assert METHODS[0] == BASELINE
    assert set(METHODS) <= set(ARMS)


def test_the_run_of_a_cell() -> None:
    config = config_of(Cell(25, 0.4, 60, 1), "DLB", 2)
    assert (config.data.per_class, config.data.noise_rate) == (25, 0.4)
    assert (config.epochs, config.seed, config.method) == (60, 2, ARMS["DLB"])
    assert (config.augment.flip, config.augment.cutout > 0) == (True, True)
    assert not config_of(Cell(25, 0.4, 60, 0), "DLB", 2).augment.flip
    assert config.evaluate_every == 12


def test_gains_are_paired_and_positive_is_better() -> None:
    table = small()
    top1, nll = (gains(table, "TOAST", m) for m in ("test_top1", "test_nll"))
    assert len(top1) == 72
    at = table[(table[list(AXES)] == list(vars(cells()[0]).values())).all(axis=1)]
    wide = at.pivot(index="seed", columns="method", values="test_top1")
    pair = (wide["TOAST"] - wide[BASELINE]).to_numpy()
    half = stats.t.ppf(0.975, 2) * pair.std(ddof=1) / np.sqrt(3)
    first = top1.iloc[0]
    assert first.gain == pytest.approx(pair.mean())
    assert (first.low, first.high) == pytest.approx((pair.mean() - half, pair.mean() + half))
    assert first.low > 0 > top1.iloc[1].high
    np.testing.assert_allclose(nll[["gain", "low", "high"]], top1[["gain", "low", "high"]])
    assert (top1.p_holm >= top1.p).all()


def test_gains_are_those_of_the_plain_functions() -> None:
    table = small()
    alike = (table.per_class == 50) & (table.method == "TOAST")
    base = table[(table.per_class == 50) & (table.method == BASELINE)]
    table.loc[alike, list(MEASURES)] = base[list(MEASURES)].to_numpy()  # nothing differs there
    table = table.drop(table.index[(table.seed == 2) & (table.per_class == 25)])  # diverged
    found = gains(table, "TOAST", "test_nll")
    assert len(found) == 72
    for row in found.to_dict("records"):
        at = table[(table[list(AXES)] == [row[name] for name in AXES]).all(axis=1)]
        wide = at.pivot(index="seed", columns="method", values="test_nll")
        pair = (wide[BASELINE] - wide["TOAST"]).tolist()
        assert len(pair) == (2 if row["per_class"] == 25 else 3)
        assert (row["gain"], row["low"], row["high"]) == pytest.approx(interval(pair))
        assert row["p"] == pytest.approx(paired_p(pair))
    assert (found.p[found.per_class == 50] == 1).all()
    single = gains(table[table.seed == 1], "TOAST", "test_nll")
    assert single[["low", "high", "p"]].isna().all(axis=None)
    assert single.gain.notna().all()


def test_summary_counts_cells() -> None:
    row = summary(small(), ["TOAST"]).set_index("measure").loc["test_top1"]
    found = gains(small(), "TOAST", "test_top1")
    assert row.better == (found.low > 0).sum() >= 1
    assert row.worse == (found.high < 0).sum() >= 1
    assert row["mean"] == pytest.approx(found.gain.mean())
    assert clearly(found) == (row.better, row.worse)
    ends = pd.DataFrame({"low": [0.1, 0.0, -1.0, -2.0], "high": [1.0, 1.0, 0.0, -0.1]})
    assert clearly(ends) == (1, 1), "an end at zero counts as inside"


def test_what_is_lost_since_the_best_evaluation() -> None:
    curves = load("curves")
    nll, top1 = (lost(curves, m).set_index(list(AXES)).lost for m in ("test_nll", "test_top1"))
    assert len(nll) == len(top1) == len(cells())
    assert min(nll.min(), top1.min()) == 0
    at = vars(Cell(200, 0.4, 60, 0))
    one = curves[(curves[list(at)] == pd.Series(at)).all(axis=1) & (curves.method == BASELINE)]
    assert nll[tuple(at.values())] == pytest.approx(one.test_nll.iloc[-1] - one.test_nll.min())
    assert top1[tuple(at.values())] == pytest.approx(one.test_top1.max() - one.test_top1.iloc[-1])
    assert nll[tuple(at.values())] > 0.5
    shuffled = curves.sample(frac=1, random_state=0)
    again = lost(shuffled, "test_nll").set_index(list(AXES)).lost
    pd.testing.assert_series_equal(again.sort_index(), nll.sort_index())


def test_figure_and_words() -> None:
    found = {m: gains(small(), "TOAST", m) for m in MEASURES}
    figure = regime_view(found, "TOAST")
    assert len(figure.axes) == 3
    assert figure.get_figwidth() <= 8.4
    shown: Any = figure.axes[0].images[0].get_array()
    top1 = found["test_top1"]
    assert np.ma.getmaskarray(shown).sum() == ((top1.low <= 0) & (top1.high >= 0)).sum()
    titled = regime_view(found, "TOAST", title="A finding")
    assert titled.alt == f"A finding. {figure.alt}"
    assert "top-1 accuracy (points): mean gain" in figure.alt
    words = describe_regime_view(found, "TOAST", "a cell", vars(cells()[0]))
    assert "better in" in words
    assert "Framed: a cell" in words


def test_what_is_the_same_is_neither_grey_nor_numbered() -> None:
    found = gains(small(), "TOAST", "test_nll")
    found.loc[3, ["gain", "low", "high"]] = 0.0
    figure = regime_view({"test_nll": found}, "TOAST")
    shown: Any = figure.axes[0].images[0].get_array()
    white = ~np.ma.getmaskarray(shown) & (shown == 0)
    assert white.sum() == 1
    texts = [t.get_color() for t in figure.axes[0].texts]
    assert texts.count("none") == 1
    assert "the same in 1" in describe_regime_view({"test_nll": found}, "TOAST")


def test_a_colour_means_the_same_gain_in_every_map() -> None:
    limits = []
    for shift in (0.01, 0.3):
        found = {m: gains(small(), "TOAST", m).assign(gain=shift) for m in MEASURES}
        axes = regime_view(found, "TOAST").axes
        limits.append([axis.images[0].get_clim() for axis in axes])
    assert limits[0] == limits[1]


def test_the_stored_map_is_whole_and_of_this_code() -> None:
    table = load()
    assert len(table) >= len(cells()) * len(METHODS) * len(SEEDS) * 0.99  # a run may diverge
    assert set(table.method) == set(METHODS)
    prints: dict[DataConfig, str] = {}
    for row in table[table.seed == 0].to_dict("records"):
        cell = Cell(*(type(v)(row[k]) for k, v in vars(cells()[0]).items()))
        config = config_of(cell, row["method"], 0)
        if config.data not in prints:
            prints[config.data] = load_data(config.data).fingerprint
        assert row["run"] == run_key(config, prints[config.data])


def test_what_the_pages_say_of_the_default_on_the_stored_map() -> None:
    """It gains in more cells than it loses in; it loses with clean labels only, and nowhere after
    the correction. (Asked for was no loss at all: docs/results.md says that it was not reached.)"""
    table = load()
    rows = summary(table, ["TOAST"]).set_index("measure")
    assert (rows.worse_holm == 0).all()
    assert (rows["mean"] > 0).all()
    assert (rows.better > 2 * rows.worse).all()
    for measure in MEASURES:
        found = gains(table, "TOAST", measure)
        assert (found[found.high < 0].noise_rate == 0).all(), measure
    other = summary(table, ["TOAST confidence"]).set_index("measure")
    assert other.better["test_top1"] > 2 * rows.better["test_top1"]
    assert other.worse["test_top1"] > rows.worse["test_top1"]


def test_a_map_is_trained_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    few = {"per_class": (25,), "noise_rate": (0.2,), "epochs": (2,), "augmented": (0, 1)}
    monkeypatch.setattr("toastlab.studies.regime.AXES", few)
    monkeypatch.setattr("toastlab.studies.regime.SEEDS", (0,))
    monkeypatch.setattr("toastlab.studies.regime.METHODS", (BASELINE, "TOAST"))
    study, store, out = STUDIES["regime"], tmp_path / "runs", tmp_path / "out"
    last = list(study.run(study.options(), store, out, workers=1))[-1]
    assert (last.done, last.total) == (4, 4)
    rows, curves = ((out / f"{name}.csv").read_bytes() for name in study.tables)
    assert len(pd.read_csv(out / "rows.csv")) == 4
    assert set(pd.read_csv(out / "curves.csv").epoch) == {1, 2}
    monkeypatch.setattr("toastlab.store.runs.train", None)  # to train again would be an error
    list(study.run(study.options(), store, out, workers=1))
    assert [(out / f"{name}.csv").read_bytes() for name in study.tables] == [rows, curves]


def test_who_chooses_by_luck_is_measured_by_other_seeds() -> None:
    cell = {"noise_rate": 0.0, "epochs": 5, "augmented": 0}
    accuracy = {  # of seeds 0, 1, 2 with 25 and 50 images a class; only seed 0 likes the first
        ("A", 25): (0.9, 0.5, 0.5),
        ("A", 50): (0.6, 0.7, 0.7),
        ("B", 25): (0.5, 0.6, 0.8),
        ("B", 50): (0.5, 0.4, 0.4),
    }
    rows = [
        {"per_class": n, **cell, "method": method, "seed": seed, "test_top1": value}
        for (method, n), values in accuracy.items()
        for seed, value in enumerate(values)
    ]
    rows += [
        {"per_class": n, **cell, "method": BASELINE, "seed": seed, "test_top1": 0.5}
        for n, seed in product((25, 50), SEEDS)
    ]
    table = pd.DataFrame(rows)
    chosen = {name: gain_where_chosen(table, "A", name, "test_top1", 1) for name in "AB"}
    assert chosen == pytest.approx({"A": 0.0, "B": 0.2})
    assert gain_where_chosen(table, "A", "A", "test_top1", 2) == pytest.approx(0.1)


def test_panel_shows_the_cell_asked_for() -> None:
    panel = RegimePanel()
    first = panel.picture.value
    panel.controls["method"].value = "label smoothing"
    assert panel.error.value == ""
    assert panel.picture.value != first
    assert panel.text.startswith("label smoothing")
    panel.controls["epochs"].value = 5
    assert "5 epochs" in panel.text
    assert panel.cell().epochs == 5


def test_the_page_of_results_shows_the_stored_map() -> None:
    root = Path(__file__).parents[2]
    results = (root / "docs" / "results.md").read_text(encoding="utf-8")
    rows = summary(load()).set_index(["method", "measure"])
    for method in METHODS[1:]:
        parts = [f"{rows.better[method, m]} / {rows.worse[method, m]}" for m in MEASURES]
        assert f"| {method} | {' | '.join(parts)} |" in results
    worse = rows.worse.groupby("method").sum()
    others, every = worse.drop("TOAST"), len(MEASURES) * len(cells())
    said = f"clearly worse in {worse['TOAST']} of {every} comparisons"
    for page in (results, (root / "README.md").read_text(encoding="utf-8")):
        assert said in " ".join(page.split())
        assert f"in {others.min()} to {others.max()}." in " ".join(page.split())
    robust = [rows.worse[name, "test_top1"] for name in ("ELR", "GCE", "SCE")]
    assert "in top-1 in {}, {} and {} cells".format(*robust) in " ".join(results.split())
