"""`toastlab.analyse`: from anybody's training to one table, a row a sample.

    analyse(logits, labels)                   # arrays [E, N, K] and [N], of any framework
    analyse(recorder, labels)                 # of a loop of your own, see `recorder`
    analyse(run)                              # a stored run of ours

Letters: E epochs, N samples, K classes. Row i of everything is sample i.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from toastlab.analysis.dynamics import Dynamics
from toastlab.analysis.given import Given, read_arrays
from toastlab.analysis.pictures import Pictures, pictures
from toastlab.analysis.recorder import Recorder
from toastlab.analysis.sample_table import (
    histories,
    medoid_rows,
    predictions,
    sample_table,
    softmaxed,
)
from toastlab.analysis.scores import SCORES
from toastlab.core.errors import BadValue, DataError, in_range, one_of
from toastlab.data.dataset import DataConfig, images_of, load
from toastlab.disk.tables import writer


@runtime_checkable
class Recorded(Protocol):
    """What `analyse` asks of a stored run: `toastlab.Run` has it."""

    @property
    def dynamics(self) -> Dynamics | None:
        """The history of the training split, if it was recorded."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its data set."""

    @property
    def config(self) -> Any:
        """Its settings; `config.data` is a `DataConfig`."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is known of each sample, in one table, and what it was made of.

    Example:
        >>> logits = np.array([[[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]])  # one epoch, three samples
        >>> found = analyse(logits, [0, 1, 1], class_names=("cat", "dog"))
        >>> found.table[["label_name", "prediction_name", "aum"]].values.tolist()
        [['cat', 'cat', 2.0], ['dog', 'dog', 1.0], ['dog', 'cat', -3.0]]
        >>> found.suspicious(1)["id"].tolist()
        [2]

    Attributes:
        table: [N] rows, see `analyse`; its index, "sample", counts from 0.
        class_names: K names.
        outputs: [E, N, K] floating point, as given; None where only a summary was recorded.
        kind: what `outputs` are.
        curves: [E, N] float64, the probability of the label; NaN before a sample's first visit.
        known: [E, N] bool, a record exists by then.
        images: gives images, see `images_at`; or None.
    """

    table: pd.DataFrame
    class_names: tuple[str, ...]
    outputs: np.ndarray | None = None
    kind: Literal["logits", "probabilities"] = "logits"
    curves: np.ndarray | None = None
    known: np.ndarray | None = None
    images: Any = None
    _pictures: Pictures | None = field(default=None, init=False, repr=False)
    _medoids: dict[int, NDArray[np.int64]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.images is not None:
            object.__setattr__(self, "_pictures", pictures(self.images, len(self.table)))

    @property
    def num_epochs(self) -> int:
        """E; 0 where neither outputs nor curves are known."""
        history = self.outputs if self.outputs is not None else self.curves
        return 0 if history is None else len(history)

    @property
    def has_images(self) -> bool:
        """Whether `images_at` can be asked."""
        return self._pictures is not None

    def images_at(self, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        """Some images, uint8 [n, C, H, W]; only these are read.

        Files of any size come as squares of 64 pixels.

        Args:
            rows: [n] numbers of samples.

        Raises:
            ValueError: there are no images, or a row is out of range.
        """
        if self._pictures is None:
            raise BadValue("no images are known; give them to analyse with images=.")
        index = np.asarray(rows, dtype=np.int64)
        if index.size and not (index.min() >= 0 and index.max() < len(self.table)):
            raise BadValue(
                f"rows run from {index.min()} to {index.max()}, but must lie in "
                f"0..{len(self.table) - 1}."
            )
        return self._pictures(index)

    def logits_at(self, epoch: int) -> np.ndarray | None:
        """Logits [N, K] float32 of an epoch (0 is the first, -1 the last); None without any."""
        e = self._epoch(epoch)
        if self.outputs is None or self.kind != "logits":
            return None
        return np.asarray(self.outputs[e].astype(np.float32))

    def probabilities_at(self, epoch: int) -> np.ndarray | None:
        """Probabilities [N, K] float64 of an epoch; None where only a summary was recorded."""
        e = self._epoch(epoch)
        return None if self.outputs is None else softmaxed(self.outputs[e], self.kind)

    def predictions_at(self, epoch: int) -> np.ndarray | None:
        """Predicted classes [N] int64 of an epoch; -1 before a sample's first visit."""
        e = self._epoch(epoch)
        return None if self.outputs is None else predictions(self.outputs[e], self._known(e))

    def medoids_at(self, epoch: int) -> np.ndarray | None:
        """Each class's medoid [K] int64, a row of the table or -1; None without logits.

        Computed when it is first asked for: 60,000 samples of 10 classes take some seconds.
        """
        e = self._epoch(epoch)
        if self.outputs is None or self.kind != "logits":
            return None
        if e not in self._medoids:
            labels = self.table["label"].to_numpy()
            self._medoids[e] = medoid_rows(self.outputs[e], labels, self._known(e))
        return self._medoids[e]

    def suspicious(self, count: int = 100, by: str = "") -> pd.DataFrame:
        """The rows whose label is most doubtful, the most doubtful first.

        Args:
            count: how many at most.
            by: a score, a column of the table (`scores.SCORES` says whether its small or its large
                values are doubtful); empty takes AUM, or where it is not known the confidence.
                Rows without the score are left out.
        """
        in_range("count", count, 0)
        by = by or ("aum" if self.table["aum"].notna().any() else "confidence")
        sign = SCORES[one_of("score", by, SCORES)].sign
        known = self.table.dropna(subset=[by])
        order = np.argsort(-sign * known[by].to_numpy(dtype=np.float64), kind="stable")
        return known.iloc[order[:count]]

    def save(self, path: str | Path) -> None:
        """Writes the table: .csv, or .parquet where pyarrow is installed.

        Raises:
            ValueError: the name ends otherwise, or pyarrow is missing.
        """
        writer(Path(path))(self.table)

    def _epoch(self, epoch: int) -> int:
        in_range("epoch", epoch, -self.num_epochs, self.num_epochs - 1)
        return epoch % self.num_epochs

    def _known(self, epoch: int) -> np.ndarray:
        every = np.ones(len(self.table), dtype=bool)
        return every if self.known is None else np.asarray(self.known[epoch])


def analyse(
    outputs: "np.ndarray | Tensor | Recorder | Dynamics | Recorded | Sequence[Any]",
    labels: "np.ndarray | Tensor | Sequence[int] | None" = None,
    *,
    images: Any = None,
    ids: "np.ndarray | Sequence[str] | Sequence[int] | None" = None,
    class_names: Sequence[str] | None = None,
    clean_labels: "np.ndarray | Tensor | Sequence[int] | None" = None,
    carried: "np.ndarray | Sequence[int] | None" = None,
    probabilities: bool | None = None,
    early: int | None = None,
) -> Analysis:
    """Every score of every sample of a training.

    Example:
        >>> logits = np.array([[[2.0, 0.0], [3.0, 0.0]], [[4.0, 0.0], [5.0, 0.0]]])
        >>> analyse(logits, [0, 1], ids=["a.png", "b.png"]).table[["id", "aum"]].values.tolist()
        [['a.png', 3.0], ['b.png', -4.0]]

    Args:
        outputs: logits or probabilities [E, N, K] of the training samples after each epoch, or
            [N, K] of one epoch, as an array or a tensor; or a `Recorder`; or a stored `Run`, whose
            labels, ids and images come with it; or `Dynamics`.
        labels: [N] whole numbers, those trained on.
        images: uint8 or floats in 0..1, [N, H, W], [N, C, H, W] or [N, H, W, C]; or N paths; or a
            function that gives some of them by their rows.
        ids: [N] whole numbers or texts that lead back to your data; None numbers the rows.
        class_names: K names; None numbers them.
        clean_labels: [N], where the true labels are known.
        carried: [N] times that a sample was carried, where that is known.
        probabilities: True: `outputs` are probabilities. None takes them for logits, and refuses
            what looks like probabilities; False takes them for logits anyhow.
        early: the epoch, from 1 on, of the early EL2N; None: after a tenth of the training, as in
            its source (20 of 200).

    Returns:
        An `Analysis`. Columns of its table: id, label, label_name, prediction and prediction_name
        (of the last epoch; -1: never seen), the scores of `scores.SCORES` each with its source,
        never_learnt, and clean_label and flipped where they are known. Scores that cannot be had
        are NaN: `aum` and `distance` of probabilities; all that needs a whole row of outputs, of a
        run that recorded a summary.

    Raises:
        ValueError, TypeError: arrays that do not belong together, NaN, labels out of range.
    """
    named = {"ids": ids, "clean_labels": clean_labels, "carried": carried}
    if isinstance(outputs, Recorded):
        dynamics = outputs.dynamics
        if dynamics is None:
            raise BadValue(
                "this run recorded no dynamics; train it with record='logits' (--record logits)."
            )
        images, class_names = _of_run(outputs, images, class_names)
        outputs = dynamics
    if isinstance(outputs, Dynamics):
        for name, value in {"labels": labels, **named}.items():
            if value is not None:
                raise BadValue(f"a run has {name} of its own; leave {name} out.")
        if probabilities:
            raise BadValue("a run records logits; leave probabilities out.")
        given = Given.of_dynamics(outputs)
    else:
        if isinstance(outputs, str | Path):
            raise BadValue(
                f"{str(outputs)!r} is a path; toastlab.analyse_folder reads what lies there."
            )
        if labels is None:
            raise BadValue("labels are missing; give the [N] labels that were trained on.")
        given = read_arrays(outputs, labels, probabilities=probabilities, **named)
    names = _names(class_names, given)
    rows = None
    if given.outputs is not None and given.kind == "logits":
        rows = medoid_rows(given.outputs[-1], given.labels, given.known[-1])
    curves, right = histories(given)
    table = sample_table(given, curves, right, names, rows, early)
    found = Analysis(table, names, given.outputs, given.kind, curves, given.known, images)
    if rows is not None:
        found._medoids[found.num_epochs - 1] = rows
    return found


def _names(given_names: Sequence[str] | None, given: Given) -> tuple[str, ...]:
    k = given.num_classes
    if given_names is None:
        return tuple(map(str, range(k)))
    names = tuple(map(str, given_names))
    if len(names) < k or (given.outputs is not None and len(names) > k):
        raise BadValue(f"{len(names)} class names for {k} classes; give one for each.")
    return names


def _of_run(run: Recorded, images: Any, names: Sequence[str] | None) -> tuple[Any, Any]:
    """Images and class names of a run's data set, where it is here and still the same."""
    config: DataConfig = run.config.data
    try:
        data = load(config)
    except (DataError, OSError, ImportError):
        return images, names
    if data.fingerprint != run.fingerprint:  # the user's own, or changed since
        return images, names
    if images is None:
        split = data.train
        images = _Lookup(lambda rows: images_of(split, rows))
    return images, data.classes if names is None else names


@dataclass(frozen=True)
class _Lookup:
    """A function of rows, for no rows at all too."""

    look: Callable[[np.ndarray], np.ndarray]

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        if len(rows):
            return self.look(rows)
        return self.look(np.zeros(1, dtype=np.int64))[:0]
