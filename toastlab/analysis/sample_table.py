"""The table of `toastlab.analyse`: one row a sample, one column a score.

Epoch by epoch, so that only one epoch is in float64 at a time. Letters: E epochs, N samples, K
classes.
"""

import math

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from toastlab.analysis.dynamics import aum, confidence, correctness, el2n, forgetting, variability
from toastlab.analysis.given import Given, Kind
from toastlab.analysis.scores import margin, medoid_distance, p1p, weighted_entropy
from toastlab.core.errors import BadValue, in_range
from toastlab.medoids.targets import class_medoids

COLUMNS = (
    *("id", "label", "label_name", "prediction", "prediction_name"),
    *("confidence", "variability", "correctness", "forgetting", "never_learnt"),
    *("aum", "el2n_early", "el2n", "margin", "entropy", "p1p", "distance", "carried"),
    *("clean_label", "flipped"),
)
Floats = NDArray[np.float64]


def sample_table(
    given: Given,
    curves: np.ndarray,
    right: np.ndarray,
    names: tuple[str, ...],
    medoids: np.ndarray | None,
    early: int | None,
) -> pd.DataFrame:
    """The table, see `toastlab.analyse`.

    Args:
        curves, right: [E, N], of `histories`.
        names: of the classes; medoids: [K] of the last epoch, or None without logits.
        early: the epoch of the early EL2N, from 1 on; None: after a tenth of all.

    Raises:
        ValueError: there is no such epoch.
    """
    n, count = len(given.labels), len(given.known)
    early = math.ceil(count / 10) if early is None else early
    in_range("early", early, 1, count)
    last = given.known[-1]
    if given.outputs is None:
        predicted = np.full(n, -1, dtype=np.int64)
    else:
        predicted = predictions(given.outputs[-1], last)
    events, never = forgetting(right, given.known)
    mean, label_names = confidence(curves), np.array(names, dtype=object)
    columns = {
        "id": pd.Series(given.ids, dtype=given.ids.dtype),  # a file's name may be no UTF-8
        "label": given.labels,
        "label_name": pd.Series(label_names[given.labels], dtype=object),
        "prediction": predicted,
        "prediction_name": pd.Series(np.append(label_names, "")[predicted], dtype=object),
        "confidence": mean,
        "variability": variability(curves),
        "correctness": correctness(right, given.known),
        "forgetting": events,
        "never_learnt": never,
        "p1p": p1p(mean),
        "carried": _maybe(given.carried, n, "Int64"),
        "clean_label": _maybe(given.clean_labels, n, "Int64"),
        "flipped": _maybe(
            None if given.clean_labels is None else given.labels != given.clean_labels, n, "boolean"
        ),
        **_of_outputs(given, medoids, early - 1),
    }
    return pd.DataFrame({name: columns[name] for name in COLUMNS}).rename_axis("sample")


def histories(given: Given) -> tuple[Floats, NDArray[np.bool_]]:
    """Probability of the label [E, N], NaN where it is not known, and whether it was right [E, N]:
    as recorded, or made of the outputs."""
    if given.curves is not None and given.correct is not None:
        return given.curves, given.correct
    if given.outputs is None:  # read_arrays has them always
        raise BadValue("there are neither outputs nor curves to make a table of.")
    rows = np.arange(len(given.labels))
    curves = np.full(given.known.shape, np.nan)
    right = np.zeros(given.known.shape, dtype=bool)
    for e, (z, seen) in enumerate(zip(given.outputs, given.known, strict=True)):
        curves[e] = np.where(seen, softmaxed(z, given.kind)[rows, given.labels], np.nan)
        right[e] = predictions(z, seen) == given.labels
    return curves, right


def _of_outputs(given: Given, medoids: np.ndarray | None, early: int) -> dict[str, Floats]:
    """The scores that need whole rows of outputs; NaN where there are none."""
    names = ("aum", "el2n_early", "el2n", "margin", "entropy", "distance")
    found = {name: np.full(len(given.labels), np.nan) for name in names}
    if given.outputs is None:
        return found
    y = given.labels
    for name, epoch in (("el2n_early", early), ("el2n", -1)):
        p = softmaxed(given.outputs[epoch], given.kind)
        # of probabilities: log p are logits of them
        logits = np.log(p.clip(min=np.finfo(np.float64).tiny))
        found[name] = np.where(given.known[epoch], el2n(logits, y), np.nan)
    seen = given.known[-1]
    found["margin"] = np.where(seen, margin(p, y), np.nan)
    found["entropy"] = np.where(seen, weighted_entropy(p, y), np.nan)
    if given.kind == "logits":
        found["aum"] = aum(given.outputs, y, given.known)
    if medoids is not None:
        far = medoid_distance(given.outputs[-1], y, medoids)
        found["distance"] = np.where(seen, far, np.nan)
    return found


def softmaxed(outputs: np.ndarray, kind: Kind) -> Floats:
    """Probabilities [N, K] of an epoch's outputs [N, K]; rounded ones sum to 1 again, and rows that
    were not recorded yet, which are 0, are all alike."""
    z = outputs.astype(np.float64)
    if kind == "logits":
        with np.errstate(over="ignore", under="ignore"):  # a gap too large for float64 is e^-inf, 0
            z = np.exp(z - z.max(1, keepdims=True))
    z = z.clip(min=0)
    z[z.sum(1) == 0] = 1.0
    return np.asarray(z / z.sum(1, keepdims=True))


def predictions(outputs: np.ndarray, known: np.ndarray) -> NDArray[np.int64]:
    """The class [N] of the largest output, the first of equal ones; -1 where not `known` [N]."""
    return np.where(known, outputs.argmax(1), -1).astype(np.int64)


def medoid_rows(logits: np.ndarray, labels: np.ndarray, known: np.ndarray) -> NDArray[np.int64]:
    """Each class's medoid [K], a row of the logits [N, K] of one epoch, or -1 (TOAST's choice:
    among the samples that are classified correctly)."""
    z = torch.from_numpy(np.ascontiguousarray(logits))
    y = torch.from_numpy(labels.astype(np.int64))
    seen = torch.from_numpy(np.ascontiguousarray(known))
    return np.asarray(class_medoids(z, y, seen=seen).index.numpy())


def _maybe(values: np.ndarray | None, count: int, dtype: str) -> pd.Series:
    """A column that may be unknown."""
    given = [pd.NA] * count if values is None else values
    return pd.Series(given, dtype=dtype)  # type: ignore[call-overload, no-any-return]
