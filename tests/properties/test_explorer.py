"""Odd views, selections, states and layouts given to an explorer: taken as they are, or refused."""

import json
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.properties.fuzz import BAD, FINITE, Draw, Refused, attempt, fuzz, numbers, some
from toastlab.widgets.explorer.places import given, some_epochs
from toastlab.widgets.explorer.view import check_view, from_state, is_mask, mask_of, to_state

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    3,
    0.5,
    1e308,
    float("nan"),
    10**30,
    "",
    "aum",
    "up",
    [],
    [0],
    [[0]],
    {},
)


def meta_of(draw: Draw) -> dict[str, Any]:
    view = {"epoch": 0, "colour": "label", "score": "aum", "order": "up"}
    more: dict[str, Any] = {"region": "all", "low": None, "high": None, "hidden": [], "focus": -1}
    choices = {"colour": ["label"], "score": ["aum", "el2n"], "order": ["up", "down"]}
    return {
        "samples": draw(st.integers(1, 9)),
        "epochs": draw(st.integers(1, 4)),
        "classes": ["a", "b", "c"][: draw(st.integers(1, 3))],
        "choices": {**choices, "region": ["all", "hard"]},
        "view": {**view, **more},
    }


def view_of(draw: Draw, meta: dict[str, Any]) -> dict[str, Any]:
    """Some parts of a view, a few of them odd."""
    fits: dict[str, Any] = {
        **{name: some(draw, choices) for name, choices in meta["choices"].items()},
        "epoch": draw(st.integers(0, meta["epochs"] - 1)),
        "focus": draw(st.integers(-1, meta["samples"] - 1)),
        "low": draw(st.none() | st.floats(-1e3, 1e3)),
        "hidden": draw(st.lists(st.integers(0, len(meta["classes"]) - 1), unique=True)),
    }
    chosen = {name: fits[name] for name in draw(st.sets(st.sampled_from(sorted(fits))))}
    for name in draw(st.lists(st.sampled_from([*sorted(fits), "html", ""]), max_size=2)):
        if draw(st.booleans()):
            chosen[name] = some(draw, ODD)
    return chosen


@fuzz(check_view)
def test_views(draw: Draw) -> None:
    meta = meta_of(draw)
    view: Any = view_of(draw, meta) if draw(st.integers(0, 9)) else some(draw, ODD)
    found = attempt(check_view, meta, view)
    if isinstance(found, Refused):
        return
    assert found == view
    for name, value in found.items():
        assert name in meta["view"]
        if name in meta["choices"]:
            assert value in meta["choices"][name]
    assert 0 <= found.get("epoch", 0) < meta["epochs"]
    assert -1 <= found.get("focus", 0) < meta["samples"]
    assert set(found.get("hidden", [])) <= set(range(len(meta["classes"])))
    json.loads(json.dumps(found, allow_nan=False))


@fuzz(mask_of, is_mask, to_state, from_state)
def test_selections_and_states(draw: Draw) -> None:
    meta = meta_of(draw)
    n = meta["samples"]
    rows: Any = draw(st.lists(st.integers(-1, n), max_size=n))
    rows = some(draw, ODD) if not draw(st.integers(0, 5)) else rows
    mask = attempt(mask_of, rows, n)
    if not isinstance(mask, Refused):
        assert attempt(is_mask, mask, n)
        assert np.flatnonzero(np.frombuffer(mask, np.uint8)).tolist() == sorted(set(rows))
        view = view_of(draw, meta)
        if not isinstance(attempt(check_view, meta, view), Refused):
            state = attempt(to_state, view, mask)
            assert attempt(from_state, meta, state) == (view, mask)
    odd = {"view": view_of(draw, meta), "selected": rows}
    text = some(draw, (json.dumps(odd), json.dumps(some(draw, ODD)), "[" * 9999, draw(st.text())))
    found = attempt(from_state, meta, text)
    if not isinstance(found, Refused):
        assert attempt(is_mask, found[1], n)
    assert not is_mask(some(draw, ODD), n)


@fuzz(given, some_epochs)
def test_layouts(draw: Draw) -> None:
    n, epochs = draw(st.integers(1, 6)), draw(st.integers(1, 300))
    most = draw(st.integers(2, 20))
    some_of = attempt(some_epochs, epochs, most)
    assert len(some_of) <= max(most, 1)
    assert some_of[0] == 1
    assert some_of[-1] == epochs
    assert some_of == sorted(set(some_of))
    layouts = {
        draw(st.integers(0, epochs + 1)): numbers(draw, n + draw(st.integers(0, 1)), 2, kinds=kinds)
        for kinds in ((*FINITE, *BAD),) * draw(st.integers(0, 3))
    }
    found = attempt(given, {e: x.numpy() for e, x in layouts.items()}, n, epochs, "title")
    if isinstance(found, Refused):
        return
    assert list(found.xy) == sorted(layouts)
    for epoch, xy in found.xy.items():
        whole = np.isfinite(layouts[epoch].numpy()).all(1)
        assert np.array_equal(xy[whole], layouts[epoch].numpy()[whole])
        assert np.isnan(xy[~whole]).all()
