"""`analyse`, its recorder and its scores on odd cases, against slow readings of their own."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from tests.properties.fuzz import (
    BAD,
    FINITE,
    FLOATS,
    Draw,
    Refused,
    attempt,
    fuzz,
    labels_of,
    numbers,
    some,
    spoil,
)
from toastlab import Analysis, Explorer, Recorder, analyse
from toastlab.analysis import detection, scores
from toastlab.analysis.sample_table import COLUMNS
from toastlab.analysis.scores import SCORES


@fuzz(analyse, Analysis)
def test_analyse(draw: Draw) -> None:
    e, n, k = draw(st.integers(0, 4)), draw(st.integers(0, 8)), draw(st.integers(1, 4))
    dtype = some(draw, FLOATS)
    z = numbers(draw, e, n, k, dtype=dtype, kinds=(*FINITE, "normal", "normal", *BAD))
    labels = labels_of(draw, n, k) if n else torch.arange(0)
    given: dict[str, Any] = {"outputs": z, "labels": labels}
    bad = some(draw, ("no", "no", "no", "tensors", "labels"))
    if bad == "tensors" and n:
        given["labels"] = torch.cat([given["labels"], given["labels"][:1]])
    elif bad == "labels":
        given["labels"] = given["labels"] + some(draw, (-k, k))
    found = attempt(analyse, **given, probabilities=False)
    possible = e > 0 and n > 0 and k > 1 and bool(torch.isfinite(z).all())
    if not possible or (bad != "no" and n):
        assert isinstance(found, Refused)
        return
    table, x, y = found.table, z.double().numpy(), labels.numpy()
    assert tuple(table) == COLUMNS
    attempt(Analysis, table, found.class_names)
    for i in range(n):
        own, right, margins = [], [], []
        for t in range(e):
            row = [float(v) for v in x[t, i]]
            top = max(row)
            powers = [math.exp(v - top) for v in row]
            own.append(powers[y[i]] / sum(powers))
            right.append(row.index(top) == y[i])
            margins.append(row[y[i]] - max(v for c, v in enumerate(row) if c != y[i]))
        np.testing.assert_allclose(table["confidence"][i], sum(own) / e, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(table["aum"][i], sum(margins) / e, rtol=1e-6, atol=1e-6)
        assert table["correctness"][i] == sum(right) / e
        assert table["forgetting"][i] == sum(a and not b for a, b in pairwise(right))
        assert table["never_learnt"][i] == (not any(right))
        assert table["prediction"][i] == int(x[-1, i].argmax())
    _in_their_ranges(table)
    turned = attempt(analyse, z.flip(1), given["labels"].flip(0), probabilities=False).table
    for name in set(SCORES) - {"carried", "distance"}:  # of equal sums of distances the first wins
        np.testing.assert_allclose(
            turned[name].to_numpy(dtype=float)[::-1], table[name], rtol=1e-12, err_msg=name
        )


@fuzz(Explorer)
def test_explorer(draw: Draw) -> None:
    """What is selected in it is what Python is told, whatever the logits; a wrong layout is not."""
    e, n, k = draw(st.integers(1, 3)), draw(st.integers(1, 8)), draw(st.integers(2, 4))
    z = numbers(draw, e, n, k, dtype=torch.float32, kinds=("normal", "grid", "same", "tiny"))
    found = analyse(z, labels_of(draw, n, k), probabilities=False)
    layout = some(draw, ("pca", None, "nonsense"))
    explorer = attempt(Explorer, found, layout=layout)
    if layout == "nonsense":
        assert isinstance(explorer, Refused)
        return
    assert list(explorer.selected) == []
    chosen = sorted(draw(st.permutations(range(n)))[: draw(st.integers(0, n))])
    explorer.selection = bytes(i in chosen for i in range(n))
    assert list(explorer.selected_rows) == chosen
    assert list(explorer.selected) == list(found.table["id"].iloc[chosen])


def _in_their_ranges(table: Any) -> None:
    for name, low, high in (
        ("confidence", 0, 1),
        ("variability", 0, 0.5),
        ("correctness", 0, 1),
        ("el2n", 0, 2**0.5),
        ("el2n_early", 0, 2**0.5),
        ("margin", -1, 1),
        ("p1p", 0, 0.25),
        ("entropy", 0, math.inf),
        ("distance", 0, math.inf),
    ):
        known = table[name].dropna()
        assert bool(((known >= low - 1e-9) & (known <= high + 1e-9)).all()), name


@fuzz(Recorder)
def test_recorder(draw: Draw) -> None:
    """Against a dictionary that a loop fills."""
    n, k = draw(st.integers(0, 6)), draw(st.integers(1, 4))
    recorder = attempt(Recorder, n, k)
    if n < 1 or k < 2:
        assert isinstance(recorder, Refused)
        return
    last: dict[int, list[float]] = {}
    for epoch in range(draw(st.integers(1, 3))):
        visits = [0] * n
        for _ in range(draw(st.integers(1, 3))):
            b = draw(st.integers(1, n))
            index = torch.tensor(draw(st.permutations(range(n)))[:b])
            z = numbers(draw, b, k, dtype=some(draw, FLOATS))
            given: dict[str, Any] = {"index": index, "logits": z}
            if draw(st.integers(0, 4)) == 0:
                spoil(draw, given)
                wrong = attempt(recorder.add, **given)
                if isinstance(wrong, Refused):
                    continue
                given["logits"] = given["logits"].detach()
            else:
                attempt(recorder.add, **given)
            for i, row in zip(given["index"].tolist(), given["logits"].tolist(), strict=True):
                last[i] = row
                visits[i] += 1
        ended = attempt(recorder.end_epoch)
        if isinstance(ended, Refused):
            assert not sum(visits)
            return
        history = recorder.history()
        assert history["visits"][epoch].tolist() == visits
        assert history["known"][epoch].tolist() == [i in last for i in range(n)]
        for i, row in last.items():
            np.testing.assert_allclose(history["outputs"][epoch, i], row, rtol=1e-2, atol=1e-6)


@fuzz(scores.margin, scores.weighted_entropy, scores.p1p, scores.check_probabilities)
def test_scores_of_probabilities(draw: Draw) -> None:
    n, k = draw(st.integers(0, 8)), draw(st.integers(1, 5))
    z = numbers(draw, n, k, dtype=torch.float64, kinds=("normal", "grid", "same", "mixed"))
    p = z.softmax(1).numpy().astype(some(draw, (np.float16, np.float32, np.float64)))
    y = labels_of(draw, n, k).numpy() if n else np.zeros(0, dtype=np.int64)
    margins, entropies = attempt(scores.margin, p, y), attempt(scores.weighted_entropy, p, y)
    checked = attempt(scores.check_probabilities, "p", p)
    if k < 2:
        assert all(isinstance(found, Refused) for found in (margins, entropies, checked))
        return
    for i in range(n):
        row = [float(v) for v in p[i]]
        gap = row[y[i]] - max(v for c, v in enumerate(row) if c != y[i])
        np.testing.assert_allclose(margins[i], gap, atol=1e-9)
        entropy = -sum(v * math.log(v) for v in row if v > 0) / math.log(k)
        wanted = max(0.0, entropy) / max(row[y[i]], 1e-6)
        np.testing.assert_allclose(entropies[i], wanted, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(attempt(scores.p1p, p[:, 0]), p[:, 0] * (1.0 - p[:, 0]), atol=1e-3)
    if n:
        for wrong in (y + k, y - k, y[:-1], y.astype(float), y[None]):
            assert isinstance(attempt(scores.margin, p, wrong), Refused)
            assert isinstance(attempt(scores.weighted_entropy, p, wrong), Refused)
        assert isinstance(attempt(scores.check_probabilities, "p", p * 2), Refused)
        assert isinstance(attempt(scores.p1p, p), Refused)


@fuzz(scores.learning_time, scores.second_split_forgetting, scores.Score)
def test_times(draw: Draw) -> None:
    e, n = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    g = np.random.default_rng(draw(st.integers(0, 2**20)))
    right, known = g.random((2, e, n)) < draw(st.floats(0, 1))
    learnt = attempt(scores.learning_time, right, known)
    lost = attempt(scores.second_split_forgetting, right)
    for i in range(n):
        good = [t for t in range(e) if all(right[s, i] and known[s, i] for s in range(t, e))]
        gone = [t for t in range(e) if not any(right[s, i] for s in range(t, e))]
        wanted = good[0] + 1 if good else math.nan
        np.testing.assert_array_equal(learnt[i], wanted)
        assert lost[i] == (gone[0] + 1 if gone else e + 1)
    for wrong in (right.astype(int), right[None], right.tolist()):
        assert isinstance(attempt(scores.second_split_forgetting, wrong), Refused)
        assert isinstance(attempt(scores.learning_time, wrong), Refused)
    assert attempt(scores.Score, "a", 1, "ours").sign == 1


@fuzz(scores.medoid_distance, scores.check_range)
def test_distance(draw: Draw) -> None:
    n, k = draw(st.integers(0, 8)), draw(st.integers(1, 4))
    z = numbers(draw, n, k).numpy()
    y = labels_of(draw, n, k).numpy() if n else np.zeros(0, dtype=np.int64)
    g = np.random.default_rng(draw(st.integers(0, 2**20)))
    medoids = np.array([int(g.integers(-1, n)) for _ in range(k)])
    found = attempt(scores.medoid_distance, z, y, medoids)
    for i in range(n):
        m = medoids[y[i]]
        gap = [float(a) - float(b) for a, b in zip(z[i], z[m], strict=True)]
        wanted = math.nan if m < 0 else math.sqrt(sum(v * v for v in gap))
        np.testing.assert_allclose(found[i], wanted, rtol=1e-6)
    for wrong in (medoids + n + 1, medoids - n - 2, medoids[None], medoids.astype(float)):
        assert isinstance(attempt(scores.medoid_distance, z, y, wrong), Refused)
    assert attempt(scores.check_range, "x", y, 0, k) is None


@fuzz(detection.detection)
def test_detection(draw: Draw) -> None:
    n = draw(st.integers(0, 10))
    g = np.random.default_rng(draw(st.integers(0, 2**20)))
    score = np.round(g.normal(size=(n,)), draw(st.integers(0, 3)))
    score[g.random(n) < 0.2] = some(draw, (np.nan, np.inf, -np.inf))
    wrong = g.random(n) < draw(st.floats(0, 1))
    found = attempt(detection.detection, score, wrong)
    if wrong.all() or not wrong.any():
        assert all(math.isnan(value) for value in found.values())
        return
    known = np.where(np.isnan(score), -np.inf, score)
    pairs = [(a > b) + 0.5 * (a == b) for a in known[wrong] for b in known[~wrong]]
    np.testing.assert_allclose(found["auroc"], sum(pairs) / len(pairs))
    assert 0 < found["average_precision"] <= 1
    assert 0 <= found["miss_rate"] <= 1
    for bad in (wrong[:-1], wrong.astype(int), wrong[None]):
        assert isinstance(attempt(detection.detection, score, bad), Refused)
