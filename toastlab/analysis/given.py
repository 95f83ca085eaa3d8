"""What a user gives to `toastlab.analyse`, read and checked: from arrays, a recorder or dynamics.

Letters: E epochs, N samples, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from toastlab.analysis.dynamics import Dynamics
from toastlab.analysis.recorder import Recorder
from toastlab.analysis.scores import ROUNDING, check_probabilities, check_range
from toastlab.core.checks import FLOAT, INT, check_arrays
from toastlab.core.errors import BadValue, DataError
from toastlab.data.ids import as_ids
from toastlab.data.raw import as_labels, as_tensor

Kind = Literal["logits", "probabilities"]


@dataclass(frozen=True, eq=False)
class Given:
    """A training, as far as it is known.

    Attributes:
        labels: [N] int64; num_classes: K.
        known: [E, N] bool, a record exists by that epoch.
        outputs: [E, N, K], of that `kind`, or None.
        curves: [E, N] float64, probability of the label, and correct: [E, N] bool, where they were
            recorded; None: to be made of the outputs.
        ids: [N]; clean_labels: [N] int64 or None; carried: [N] int64 or None.
    """

    labels: np.ndarray
    num_classes: int
    known: np.ndarray
    ids: np.ndarray
    outputs: np.ndarray | None = None
    kind: Kind = "logits"
    curves: np.ndarray | None = None
    correct: np.ndarray | None = None
    clean_labels: np.ndarray | None = None
    carried: np.ndarray | None = None

    @classmethod
    def of_dynamics(cls, dynamics: Dynamics) -> "Given":
        """What a run of ours recorded."""
        both = np.concatenate([dynamics.labels, dynamics.clean_labels])
        if len(dynamics.probability) < 1 or not len(dynamics.labels):
            raise BadValue("these dynamics hold no epoch of any sample; record one at least.")
        logits = dynamics.logits
        if logits is not None and logits.shape[2] < 2:
            logits = None  # one class has no margin
        k = max(2, int(both.max()) + 1) if logits is None else logits.shape[2]
        return cls(
            dynamics.labels.astype(np.int64),
            k,
            ~np.isnan(dynamics.probability),
            as_ids(dynamics.ids, len(dynamics.labels)),
            logits,
            curves=dynamics.probability.astype(np.float64),
            correct=dynamics.correct,
            clean_labels=dynamics.clean_labels.astype(np.int64),
            carried=dynamics.carried.sum(0, dtype=np.int64),
        )


def read_arrays(
    outputs: Any,
    labels: Any,
    *,
    probabilities: bool | None = None,
    ids: Any = None,
    clean_labels: Any = None,
    carried: Any = None,
) -> Given:
    """A user's arrays, see `toastlab.analyse`.

    Raises:
        DataError, ValueError, TypeError: they do not belong together, hold NaN, or are no numbers.
    """
    known = None
    if isinstance(outputs, Recorder):
        history = outputs.history()
        known, recorded = history["known"], history["carried"].sum(0)
        carried = recorded if carried is None and outputs.knows_carried else carried
        outputs = history["outputs"]
    z = numbers("outputs", outputs)
    z = z[None] if z.ndim == 2 else z
    y = whole("labels", labels)
    check_arrays(outputs=(z, FLOAT, "ENK"), labels=(y, INT, "N"))
    epochs, n, k = z.shape
    if epochs < 1 or k < 2:
        raise BadValue(
            f"a score needs an epoch and two classes; these are outputs {list(z.shape)}, [E, N, K]."
        )
    check_range("labels", y, 0, k)
    known = np.ones((epochs, n), dtype=bool) if known is None else known
    _check_values(z, known, probabilities)
    clean = None if clean_labels is None else whole("clean labels", clean_labels)
    times = None if carried is None else whole("carried", carried)
    for name, array in (("clean_labels", clean), ("carried", times)):
        if array is not None:
            check_arrays(labels=(y, INT, "N"), **{name: (array, INT, "N")})
    if clean is not None:
        check_range("clean labels", clean, 0, k)
    if times is not None and times.min() < 0:
        raise BadValue(f"carried begins at {times.min()}, but a number of times is at least 0.")
    kind: Kind = "probabilities" if probabilities else "logits"
    return Given(y, k, known, as_ids(ids, n), z, kind, clean_labels=clean, carried=times)


def numbers(name: str, values: Any) -> np.ndarray:
    """A user's numbers as an array on the host; bfloat16, which NumPy lacks, becomes float32."""
    tensor = as_tensor(name, _listed(values))
    if tensor.is_meta:
        raise DataError(f"{name} are on the device meta, without values; give them on a real one.")
    tensor = tensor.detach().cpu()
    wide = tensor.is_floating_point() and tensor.dtype.itemsize <= 2
    if wide and str(tensor.dtype) != "torch.float16":
        tensor = tensor.float()
    return np.asarray(tensor.numpy())


def whole(name: str, values: Any) -> np.ndarray:
    """A user's whole numbers as [N] int64 on the host, N at least 1."""
    array = numbers(name, values)
    try:
        return np.asarray(as_labels(array).numpy())
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def _listed(values: Any) -> Any:
    """Tensors in a list become an array, as arrays in a list do."""
    if isinstance(values, Sequence) and values and isinstance(values[0], Tensor | np.ndarray):
        return np.stack([numbers("outputs", one) for one in values])
    return values


def _check_values(z: np.ndarray, known: np.ndarray, probabilities: bool | None) -> None:
    """Finite; and probabilities if, and only if, they are said to be such."""
    looks = probabilities is None
    for e, rows in enumerate(z):
        # what was not recorded yet is no sign of anything
        of_epoch = rows if known[e].all() else np.where(known[e][:, None], rows, 1 / z.shape[2])
        bad = ~np.isfinite(of_epoch).all(1)
        if bad.any():
            raise BadValue(
                f"the outputs of sample {int(bad.argmax())} in epoch {e + 1} are NaN or infinite; "
                "leave such samples out, or record before the training diverged."
            )
        if probabilities:
            check_probabilities(f"the outputs of epoch {e + 1}", of_epoch)
        looks = looks and _sums_to_one(of_epoch)
    if looks:
        raise BadValue(
            "every row of the outputs sums to 1, as probabilities do: say probabilities=True "
            "(--probabilities), or probabilities=False if these are logits."
        )


def _sums_to_one(rows: np.ndarray) -> bool:
    total = rows.sum(1, dtype=np.float64)
    return bool((rows >= 0).all() and (np.abs(total - 1) <= ROUNDING[rows.dtype.itemsize]).all())
