"""The closed form of stage 1's end: against iteration, known values, limits, and the library."""

import numpy as np
import pytest
import torch

from toastlab.analysis.fixed_point import fixed_point, fixed_points, softened
from toastlab.core.losses import soft_cross_entropy
from toastlab.medoids.targets import class_targets, soft_targets
from toastlab.methods import ToastConfig

GRID = [
    (a, t, k)
    for a in (0.05, 0.3, 0.7, 0.95)
    for t in (0.5, 1.0, 1.5, 2.0, 8.0)
    for k in (2, 10, 100)
]


def plain(p: float, t: float, k: int) -> float:
    """q(p; T) as the docstring writes it."""
    own, other = p ** (1 / t), ((1 - p) / (k - 1)) ** (1 / t)
    return own / (own + (k - 1) * other)


def iterated(a: float, t: float, k: int, start: float, steps: int = 20_000) -> float:
    p = start
    for _ in range(steps):
        p, before = 1 - a + a * plain(p, t, k), p
        if p == before:
            break
    return p


@pytest.mark.parametrize("t", [0.3, 1.0, 2.0, 7.0])
@pytest.mark.parametrize("k", [2, 10, 1000])
def test_softened_is_the_formula_and_the_softmax(t: float, k: int) -> None:
    p = np.array([0.001, 1 / k, 0.3, 0.9, 0.999])
    found = softened(p, t, k)
    np.testing.assert_allclose(found, [plain(float(x), t, k) for x in p], rtol=1e-9)
    probabilities = np.full((len(p), k), ((1 - p) / (k - 1))[:, None])
    probabilities[:, 0] = p
    by_torch = (torch.from_numpy(probabilities).log() / t).softmax(1)[:, 0]
    np.testing.assert_allclose(found, by_torch.numpy(), rtol=1e-9)


def test_softened_at_its_ends() -> None:
    for t in (0.01, 0.5, 1.0, 3.0, 1000.0):
        np.testing.assert_array_equal(softened(np.array([0.0, 1.0]), t, 10), [0, 1])
        assert softened(0.1, t, 10) == pytest.approx(0.1), "uniform stays uniform"
        assert np.isfinite(softened(np.array([1e-300, 1 - 1e-16]), t, 1000)).all()
    assert softened(0.9, 1000.0, 10) == pytest.approx(0.1, abs=1e-3)
    assert softened(np.zeros((2, 3)), 2.0, 10).shape == (2, 3)
    assert softened(np.zeros(0), 2.0, 10).shape == (0,)


def test_known_values() -> None:
    assert fixed_point(0.3, 2.0, 10) == pytest.approx(0.8263, abs=5e-5)
    assert fixed_point(0.3, 1.0, 10) == 1
    assert fixed_point(0.3, 0.5, 10) == 1
    assert fixed_point(0.0, 2.0, 10) == 1


@pytest.mark.parametrize(("a", "t", "k"), GRID)
def test_iteration_ends_there_from_every_start(a: float, t: float, k: int) -> None:
    end = fixed_point(a, t, k)
    for start in (1 / k + 1e-6, max(1 - a, 1 / k + 1e-6), 1 - 1e-9):
        assert iterated(a, t, k, start) == pytest.approx(end, abs=1e-9), start


@pytest.mark.parametrize(("a", "t", "k"), [row for row in GRID if row[1] > 1])
def test_above_temperature_1_it_is_a_fixed_point_and_stable(a: float, t: float, k: int) -> None:
    p, step = fixed_point(a, t, k), 1e-6
    assert 1 / k < p < 1
    assert 1 - a + a * plain(p, t, k) == pytest.approx(p, abs=1e-12)
    slope = a * (plain(p + step, t, k) - plain(p - step, t, k)) / (2 * step)
    assert 0 < slope < 1, "a deviation shrinks"
    assert 1 - a + a * plain(1 - 1e-12, t, k) < 1 - 1e-12, "and certainty is left"


@pytest.mark.parametrize("a", [0.1, 0.3, 0.9])
def test_at_temperature_1_the_distance_to_1_shrinks_by_a(a: float) -> None:
    left = 0.4
    for _ in range(5):
        after = a * (1 - float(softened(1 - left, 1.0, 10)))
        assert after == pytest.approx(a * left)
        left = after


def test_more_weight_and_more_temperature_leave_less() -> None:
    weights, temperatures = np.linspace(0.02, 0.98, 25), (1.2, 1.5, 2.0, 4.0, 16.0)
    table = fixed_points(weights, temperatures, 10)
    assert list(table.columns) == ["weight", "temperature", "p"]
    grid = table.pivot(index="weight", columns="temperature", values="p").to_numpy()
    assert (np.diff(grid, axis=0) < 0).all()
    assert (np.diff(grid, axis=1) < 0).all()
    assert fixed_points([], temperatures, 10).empty


def test_limits() -> None:
    smoothed = 1 - 0.3 + 0.3 / 10
    assert fixed_point(0.3, 1e6, 10) == pytest.approx(smoothed, abs=1e-4), "label smoothing"
    assert fixed_point(1e-9, 2.0, 10) == pytest.approx(1)
    assert fixed_point(0.3, 1 + 1e-9, 10) == pytest.approx(1)
    assert fixed_point(1 - 1e-9, 2.0, 10) == pytest.approx(0.1, abs=1e-4), "nothing of the label"


@pytest.mark.parametrize(("a", "t"), [(0.3, 2.0), (0.6, 3.0), (0.3, 1.0), (0.5, 0.5)])
def test_free_logits_trained_by_toast_itself_end_there(a: float, t: float) -> None:
    """Stage 1 of the library with its bank and medoids: a sample a class, logits as the weights."""
    k = 10
    labels = torch.arange(k)
    toast = ToastConfig(medoid_weight=a, medoid_temperature=t, past_weight=0.0).build(labels, k, k)
    logits = torch.randn(k, k, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for _ in range(60):
        optimizer = torch.optim.LBFGS([logits], max_iter=60, line_search_fn="strong_wolfe")
        batch = toast.join(torch.zeros(k, 1), labels, labels)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()  # noqa: B023
            total = toast.loss(logits, batch).total  # noqa: B023
            total.backward()
            return total

        optimizer.step(closure)
        toast.update(logits.detach(), batch)
        toast.end_epoch()
    assert torch.equal(toast.medoids.index, labels)
    p = logits.detach().softmax(1).diagonal()
    assert p.numpy() == pytest.approx(fixed_point(a, t, k), abs=2e-3)


def test_gradient_descent_on_the_library_s_stage_1_ends_there() -> None:
    """The same from the parts, without a method: the medoid is the class's own logits."""
    k, a, t = 10, 0.3, 2.0
    logits, there = torch.eye(k, requires_grad=True), torch.ones(k, dtype=torch.bool)
    optimizer = torch.optim.SGD([logits], lr=20.0)
    for step in range(1500):
        if step % 50 == 0:
            targets = class_targets(soft_targets(logits.detach(), there, t), a)
        optimizer.zero_grad()
        soft_cross_entropy(logits, targets).mean().backward()
        optimizer.step()
    p = logits.detach().softmax(1).diagonal()
    assert p.numpy() == pytest.approx(fixed_point(a, t, k), abs=1e-3)


def test_what_is_out_of_range_is_named() -> None:
    for call, word in (
        (lambda: softened(1.2, 2.0, 10), "probability is 1.2"),
        (lambda: softened(np.array([0.5, float("nan")]), 2.0, 10), "probability is nan"),
        (lambda: softened(0.5, 0.0, 10), "medoid temperature is 0.0"),
        (lambda: softened(0.5, 1.0, 1), "number of classes is 1"),
        (lambda: fixed_point(1.0, 2.0, 10), "medoid weight is 1.0"),
        (lambda: fixed_point(-0.1, 2.0, 10), "medoid weight is -0.1"),
        (lambda: fixed_point(0.3, float("inf"), 10), "medoid temperature is inf"),
    ):
        with pytest.raises(ValueError, match=word):
            call()
