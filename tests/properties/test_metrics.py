"""Measures, training dynamics and statistics on odd cases, against slow readings of their own."""

import math
from typing import Any

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st

from tests.analysis.test_metrics import slow
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
from toastlab.analysis import dynamics, statistics
from toastlab.analysis.metrics import Bins, evaluate, fit_temperature, reliability_bins
from toastlab.core.errors import DataError


@fuzz(evaluate, reliability_bins, Bins)
def test_metrics(draw: Draw) -> None:
    n, k = draw(st.integers(0, 20)), draw(st.integers(1, 8))
    z = numbers(draw, n, k, dtype=some(draw, FLOATS), kinds=(*FINITE, "normal", "large", *BAD))
    given: dict[str, Any] = {"logits": z, "labels": labels_of(draw, n, k)}
    bad = some(draw, ("no", "no", "tensors", "labels"))
    if bad == "tensors":
        spoil(draw, given)
    elif bad == "labels":
        given["labels"] = given["labels"] + some(draw, (-k, k))
    bins = draw(st.integers(-1, 20))
    found = attempt(evaluate, **given)
    diagram = attempt(reliability_bins, **given, bins=bins)
    if bad != "no" or not n or not bool(torch.isfinite(z).all()):
        assert isinstance(found, Refused)
        assert isinstance(diagram, Refused)
        return
    wanted = slow(z.double(), given["labels"])
    equal = z.double().sort(1).values.diff(dim=1)
    # where logits are alike but for rounding, the order of samples may go either way
    plain = not bool((equal.abs() < 1e-6).any()) and len(set(z.double().softmax(1).amax(1))) == n
    for name in ("nll", "brier", "top1", "top5", *(("aurc",) if plain else ())):
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-6, atol=1e-7, err_msg=name)
    assert found["top5"] >= found["top1"]
    right = float((z.argmax(1) == given["labels"]).double().mean())
    np.testing.assert_allclose(found["top1"], right, rtol=1e-6)
    assert all(-1e-12 <= found[name] <= 1 + 1e-12 for name in ("top1", "top5", "ece", "aurc"))
    assert isinstance(diagram, Refused) == (bins < 1)
    if bins < 1:
        return
    again = attempt(Bins, diagram.count, diagram.confidence, diagram.accuracy)
    assert again.count.sum() == n
    assert 0 <= again.ece <= 1
    # the calibration gap of all is no larger than the sum of those of the bins
    sure = z.double().softmax(1).amax(1)
    whole = abs(float(sure.mean()) - found["top1"])
    assert again.ece >= whole - 1e-5
    if bins == 1:
        np.testing.assert_allclose(again.ece, whole, atol=1e-5)


@fuzz(fit_temperature, part=0.5)
def test_fit_temperature(draw: Draw) -> None:
    n, k = draw(st.integers(1, 20)), draw(st.integers(1, 5))
    z, y = numbers(draw, n, k, dtype=some(draw, FLOATS), kinds=("normal", "grid", "large")), None
    y = labels_of(draw, n, k)
    heat = attempt(fit_temperature, z, y)
    assert 0.02 * 0.999 <= heat <= 50 * 1.001
    nll = torch.nn.functional.cross_entropy
    best = min(float(nll(z.double() / t, y)) for t in np.geomspace(0.02, 50, 60))
    assert float(nll(z.double() / heat, y)) <= best * (1 + 1e-3) + 1e-6
    assert isinstance(attempt(fit_temperature, z, y + k), Refused)


# --- dynamics -------------------------------------------------------------------------------------


def history(draw: Draw, e: int, n: int, k: int) -> dict[str, np.ndarray]:
    g = np.random.default_rng(draw(st.integers(0, 2**20)))
    p = g.random((e, n)).astype(some(draw, (np.float16, np.float32, np.float64)))
    p[g.random((e, n)) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = np.nan
    dtype = some(draw, (np.float16, np.float32))
    return {
        "probability": p,
        "correct": g.random((e, n)) < 0.5,
        "visits": g.integers(0, 4, (e, n)).astype(np.uint8),
        "carried": g.integers(0, 255, (e, n)).astype(np.uint8),
        "labels": g.integers(0, k, n),
        "clean_labels": g.integers(0, k, n),
        "logits": (g.normal(size=(e, n, k)) * 3).astype(dtype),
    }


MEASURES = (
    dynamics.confidence,
    dynamics.variability,
    dynamics.correctness,
    dynamics.forgetting,
    dynamics.aum,
    dynamics.el2n,
    dynamics.data_map,
)


@fuzz(dynamics.Dynamics, dynamics.variability_bound, *MEASURES)
def test_dynamics(draw: Draw) -> None:
    e, n, k = draw(st.integers(0, 5)), draw(st.integers(0, 8)), draw(st.integers(1, 4))
    h = history(draw, e, n, k)
    if draw(st.booleans()):
        h = {name: np.asfortranarray(x) for name, x in h.items()}
    kept = attempt(dynamics.Dynamics, **h)
    p, right, y, z = h["probability"], h["correct"], h["labels"], h["logits"]
    known = ~np.isnan(p)
    mean, spread = attempt(dynamics.confidence, p), attempt(dynamics.variability, p)
    share = attempt(dynamics.correctness, right, known)
    events, never = attempt(dynamics.forgetting, right, known)
    for i in range(n):
        values = [float(v) for v in p[:, i] if not math.isnan(v)]
        hits = [bool(r) for r, there in zip(right[:, i], known[:, i], strict=True) if there]
        if not values:
            assert np.isnan([mean[i], spread[i], share[i]]).all()
        else:
            centre = sum(values) / len(values)
            np.testing.assert_allclose(mean[i], centre, rtol=1e-9)
            moment = sum((v - centre) ** 2 for v in values) / len(values)
            np.testing.assert_allclose(spread[i], math.sqrt(moment), rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(share[i], sum(hits) / len(hits))
            assert spread[i] <= attempt(dynamics.variability_bound, mean[i]) + 1e-6
        pairs = range(e - 1)
        lost = sum(
            bool(right[t, i] and not right[t + 1, i] and known[t, i] and known[t + 1, i])
            for t in pairs
        )
        assert events[i] == lost
        assert never[i] == (not any(hits))
    frame = attempt(dynamics.data_map, kept)
    assert len(frame) == n
    if n:
        np.testing.assert_array_equal(frame.carried, h["carried"].astype(int).sum(0))
    margins = attempt(dynamics.aum, z, y)
    if k < 2 or not e:
        assert isinstance(margins, Refused) or np.isnan(margins).all()
        return
    for i in range(n):
        rest = [
            float(z[t, i, y[i]]) - max(float(z[t, i, c]) for c in range(k) if c != y[i])
            for t in range(e)
        ]
        np.testing.assert_allclose(margins[i], sum(rest) / e, rtol=1e-6, atol=1e-6)
    errors = attempt(dynamics.el2n, z[0], y)
    soft = torch.from_numpy(z[0].astype(np.float64)).softmax(1).numpy()
    wanted = np.linalg.norm(soft - np.eye(k)[y], axis=1)
    np.testing.assert_allclose(errors, wanted, rtol=1e-6, atol=1e-9)
    if n:
        for wrong in (y + k, y - k, y[:-1], y.astype(float), y[None]):
            assert isinstance(attempt(dynamics.aum, z, wrong), Refused)
            assert isinstance(attempt(dynamics.el2n, z[0], wrong), Refused)
        other = {**h, some(draw, sorted(h)): h["probability"][:, :-1]}
        assert isinstance(attempt(dynamics.Dynamics, **other), Refused)
        for bad in (known[:, :-1], known[0], known.astype(int)):
            assert isinstance(attempt(dynamics.forgetting, right, bad), Refused)
            assert isinstance(attempt(dynamics.correctness, right, bad), Refused)
        assert isinstance(attempt(dynamics.forgetting, right.astype(int), known), Refused)


def ranks(x: np.ndarray) -> np.ndarray:
    return np.array([(x < v).sum() + ((x == v).sum() + 1) / 2 for v in x])


@fuzz(dynamics.jaccard, dynamics.spearman, dynamics.precision_at_flipped)
def test_scores(draw: Draw) -> None:
    n = draw(st.integers(0, 12))
    g = np.random.default_rng(draw(st.integers(0, 2**20)))
    a, b = g.normal(size=(2, n)).round(draw(st.integers(0, 3)))
    a[g.random(n) < 0.2] = np.nan
    p, q = g.random((2, n)) < draw(st.floats(0, 1))
    union = (p | q).sum()
    assert attempt(dynamics.jaccard, p, q) == ((p & q).sum() / union if union else 1.0)
    known = ~np.isnan(a)
    x, y = ranks(a[known]), ranks(b[known])
    flat = known.sum() < 2 or x.std() == 0 or y.std() == 0
    wanted = np.nan if flat else np.corrcoef(x, y)[0, 1]
    np.testing.assert_allclose(attempt(dynamics.spearman, a, b), wanted, atol=1e-9)
    order = sorted(range(n), key=lambda i: (np.isnan(a[i]), -a[i] if known[i] else 0, i))
    hits = [bool(p[i]) for i in order[: int(p.sum())]]
    wanted = sum(hits) / len(hits) if hits else np.nan
    np.testing.assert_allclose(attempt(dynamics.precision_at_flipped, a, p), wanted)
    longer = np.ones(n + 2, dtype=bool)
    for f, first in ((dynamics.jaccard, p), (dynamics.precision_at_flipped, a)):
        assert isinstance(attempt(f, first, longer), Refused)
        assert isinstance(attempt(f, first, longer[:n].astype(float)), Refused)
    assert isinstance(attempt(dynamics.spearman, a, longer.astype(float)), Refused)


# --- statistics of comparisons --------------------------------------------------------------------

VALUES = st.one_of(st.floats(-1, 1), st.sampled_from([0.0, 0.1, 1e-100, 1e100, -1e100]))


@fuzz(statistics.interval, statistics.bootstrap_interval, statistics.paired_p, statistics.verdict)
def test_intervals(draw: Draw) -> None:
    values = draw(st.lists(st.one_of(VALUES, st.sampled_from([math.nan, math.inf])), max_size=6))
    level = some(draw, (0.95, 0.5, 0.0, 1.0, -1.0, 2.0, math.nan))
    found = attempt(statistics.interval, values, level)
    boot = attempt(statistics.bootstrap_interval, values, level)
    p = attempt(statistics.paired_p, values)
    if not values:
        assert isinstance(found, Refused)
        assert isinstance(boot, Refused)
        assert isinstance(p, Refused)
        return
    assert isinstance(found, Refused) == isinstance(boot, Refused) == (not 0 < level < 1)
    if isinstance(found, Refused):
        return
    mean, low, high = found
    assert attempt(statistics.verdict, *found) in (
        "one seed: nothing to say",
        "within seed noise",
        "better",
        "worse",
    )
    if len(values) < 2 or not all(map(math.isfinite, values)):
        assert math.isnan(low)
        assert attempt(statistics.verdict, *found) == "one seed: nothing to say"
        return
    assert low <= mean <= high or math.isinf(high)
    assert min(values) - 1e-9 <= boot[0] <= boot[1] <= max(values) + 1e-9
    assert 0 <= p <= 1
    if max(map(abs, values)) <= 1 and np.std(values) > 1e-9:
        from scipy.stats import ttest_1samp

        test = ttest_1samp(values, 0.0)
        np.testing.assert_allclose(p, test.pvalue, rtol=1e-6)
        np.testing.assert_allclose((low, high), test.confidence_interval(level), rtol=1e-6)


@fuzz(statistics.holm)
def test_holm(draw: Draw) -> None:
    p = draw(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=7))
    index = draw(st.permutations(range(len(p))))
    found = attempt(statistics.holm, pd.Series(p, index=index, dtype=float))
    known = sorted((v, i) for i, v in enumerate(p) if not math.isnan(v))
    wanted, top = [math.nan] * len(p), 0.0
    for place, (v, i) in enumerate(known):
        top = max(top, min(1.0, v * (len(known) - place)))
        wanted[i] = top
    np.testing.assert_allclose(found.to_numpy(), wanted)
    for bad in (1.5, -0.1, math.inf):
        assert isinstance(attempt(statistics.holm, pd.Series([*p, bad])), Refused)


@fuzz(statistics.differences, part=0.5)
def test_differences(draw: Draw) -> None:
    seeds = draw(st.integers(1, 4))
    rows = [
        {"setting": s, "method": m, "seed": i, "top1": draw(st.floats(0, 1))}
        for s in ("a", "b")
        for m in (statistics.BASELINE, "x", "y")
        for i in range(seeds)
    ]
    bad = some(draw, ("no", "no", "lost", "twice", "column", "nan"))
    if bad == "lost":
        rows.pop(draw(st.integers(0, seeds - 1)))  # of the baseline
    elif bad == "twice":
        rows.append(dict(rows[draw(st.integers(0, len(rows) - 1))]))
    elif bad == "nan":
        rows[0]["top1"] = math.nan
    frame = pd.DataFrame(draw(st.permutations(rows)))
    found = attempt(statistics.differences, frame, "top5" if bad == "column" else "top1")
    assert isinstance(found, Refused) == (bad != "no")
    if bad == "no":
        assert len(found) == 4
        for row in found.itertuples():
            pick = frame[frame.setting == row.setting].set_index(["method", "seed"]).top1
            gaps = [pick[(row.method, i)] - pick[(statistics.BASELINE, i)] for i in range(seeds)]
            np.testing.assert_allclose(row.mean, np.mean(gaps), atol=1e-12)
            np.testing.assert_allclose(row.p, statistics.paired_p(gaps), rtol=1e-6)
    assert issubclass(DataError, ValueError)
