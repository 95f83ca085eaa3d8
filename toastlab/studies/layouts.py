"""t-SNE of logits and soft targets, epoch after epoch, in layouts that can be laid side by side.

scikit-learn draws; what is ours is the order: each layout starts from the one before it (that of
the next epoch), small, as it is usual to start from principal components (Kobak and Berens, 2019),
and is then rotated and mirrored onto it. Without that, two layouts of the same points differ at
random.

Letters: N samples, K classes, D features.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save as array_bytes
from scipy.linalg import orthogonal_procrustes
from scipy.special import softmax

from toastlab.core.checks import FLOAT, check_arrays
from toastlab.core.errors import BadValue, DataError, StoreError, in_range, one_of
from toastlab.course.runs import course_data, course_runs, course_store
from toastlab.disk.files import embedded, regular, showable
from toastlab.store.runs import Run
from toastlab.studies.study import Options, Progress, Work

FEATURES = ("soft targets", "logits")
PERPLEXITIES = (5.0, 15.0, 30.0, 50.0)
EPOCHS = (1, 2, 3, 5, 10, 20, 30)
TEMPERATURE = 2.0
PER_CLASS = 60
NEIGHBOURS = 15
AGAIN = "toastlab study run layouts"
STORE = Path("data/runs")  # of the notebooks' runs, as in the catalogue
Floats = NDArray[np.float64]


def features(logits: np.ndarray, kind: str, temperature: float = TEMPERATURE) -> Floats:
    """What t-SNE measures distances in, [N, K] from logits [N, K].

    "logits": as they are. "soft targets": square roots of softmax(z / T), whose Euclidean distance
    is the Hellinger distance of the distributions times the square root of 2.
    """
    in_range("temperature", temperature, 0, open_low=True, open_high=True)
    z = logits.astype(np.float64)
    if one_of("features", kind, FEATURES) == "logits":
        return z
    return np.sqrt(softmax(z / temperature, axis=1))


def layout(
    x: np.ndarray, perplexity: float, *, start: np.ndarray | None = None, seed: int = 0
) -> Floats:
    """t-SNE of x [N, D] in the plane [N, 2], rotated and mirrored onto `start` where there is one.

    Args:
        start: [N, 2] layout of the same samples to begin from; principal components without it.

    Raises:
        ValueError: the perplexity is not below the number of samples.
    """
    from sklearn.decomposition import PCA  # here: stored layouts are shown without, and it takes
    from sklearn.manifold import TSNE  # a second

    first = PCA(2, random_state=seed).fit_transform(x) if start is None else start - start.mean(0)
    small = 1e-4 * first / max(float(first[:, 0].std()), 1e-12)
    xy = TSNE(perplexity=perplexity, init=small, random_state=seed).fit_transform(x)
    xy = xy - xy.mean(0)
    if start is not None:
        xy = xy @ orthogonal_procrustes(xy, start - start.mean(0))[0]
    return np.asarray(xy, dtype=np.float64)


def trustworthiness(x: np.ndarray, xy: np.ndarray, neighbours: int = NEIGHBOURS) -> float:
    """How far neighbours in the picture xy [N, 2] are neighbours in x [N, D]; 1: all of them
    (Venna and Kaski, 2001; scikit-learn's)."""
    from sklearn.manifold import trustworthiness as theirs  # here: it takes a second

    in_range("neighbours", neighbours, 1, len(x) / 2, open_high=True)
    check_arrays(x=(x, FLOAT, "ND"), xy=(xy, FLOAT, "Nd"))
    return float(theirs(x, xy, n_neighbors=neighbours))


def pick(labels: np.ndarray, per_class: int = PER_CLASS, seed: int = 0) -> NDArray[np.int64]:
    """Positions of `per_class` samples of each class (fewer where there are fewer), ascending."""
    in_range("per class", per_class, 1)
    draw = np.random.RandomState(seed)
    chosen = [draw.permutation(np.flatnonzero(labels == c))[:per_class] for c in np.unique(labels)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Layouts:
    """Stored layouts of several runs.

    Attributes:
        index: [n] int64, positions in the training split.
        runs: name -> key of the run.
        places: (run's name, features, perplexity, epoch) -> [n, 2] float32.
        trust: the same -> trustworthiness.
    """

    index: NDArray[np.int64]
    runs: Mapping[str, str]
    places: Mapping[tuple[str, str, float, int], np.ndarray]
    trust: Mapping[tuple[str, str, float, int], float]

    def extent(self, kind: str, perplexity: float) -> float:
        """Half the side of the square that holds all epochs and runs of these."""
        chosen = [v for k, v in self.places.items() if k[1:3] == (kind, perplexity)]
        return 1.05 * max(float(np.abs(v).max()) for v in chosen)


def _logits(run: Run) -> np.ndarray:
    if run.dynamics is None or run.dynamics.logits is None:
        raise BadValue(f"run {run.key} keeps no logits; train it with record='logits'.")
    return run.dynamics.logits


def make(
    runs: Mapping[str, Run], index: NDArray[np.int64], epochs: Sequence[int] = EPOCHS
) -> Iterator[tuple[tuple[str, str, float, int], np.ndarray, float]]:
    """Lays out every combination: the last epoch first, each from the one after it, and the last
    epoch of a run from that of the first run. Yields key, [n, 2] and trustworthiness."""
    for kind in FEATURES:
        for perplexity in PERPLEXITIES:
            reference: Floats | None = None
            for name, run in runs.items():
                start = reference
                for epoch in sorted(epochs, reverse=True):
                    x = features(_logits(run)[epoch - 1][index], kind)
                    start = layout(x, perplexity, start=start)
                    if reference is None:
                        reference = start
                    trust = trustworthiness(x, start)
                    yield (name, kind, perplexity, epoch), start.astype(np.float32), trust


def steps(options: Options, work: Work) -> Iterator[Progress]:
    """Lays out the two runs of the notebooks, trained where they are missing, and saves it all.

    Raises:
        StoreError: the store is named, and not there: the runs to be laid out lie elsewhere.
    """
    if not work.store.exists() and work.store != STORE:
        raise StoreError(
            f"the run store {str(work.store)!r} does not exist; name the folder of the notebooks' "
            f"runs with --store, or leave it out for {STORE}."
        )
    return _lay_out(work)


def _lay_out(work: Work) -> Iterator[Progress]:
    runs = course_runs(work.store)
    index = pick(course_data().train.labels.numpy())
    total = len(runs) * len(FEATURES) * len(PERPLEXITIES) * len(EPOCHS)
    places, trust = {}, {}
    for key, xy, score in make(runs, index):
        places[key], trust[key] = xy, score
        yield Progress(len(places), total, f"{len(places)} of {total} layouts")
    keys = {name: run.key for name, run in runs.items()}
    save(work.out, Layouts(index, keys, places, trust))


def load(which: str = "layouts") -> Layouts:
    """The stored layouts, see `load_layouts`, of the two runs of the notebooks."""
    return load_layouts(course_runs(course_store()))


def save(path: Path | str, layouts: Layouts) -> None:
    """Writes layouts as safetensors, coordinates in 16 bits."""
    keys = list(layouts.places)
    facts = {
        "runs": dict(layouts.runs),
        "keys": [list(k) for k in keys],
        "trust": [round(layouts.trust[k], 4) for k in keys],
    }
    arrays: dict[str, np.ndarray] = {
        "index": layouts.index,
        "places": np.stack([layouts.places[k] for k in keys]).astype(np.float16),
        "facts": np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8),
    }
    # written here: files of safetensors' own making are private, whatever the umask says
    Path(path).write_bytes(array_bytes(arrays))


def load_layouts(runs: Mapping[str, Run], path: Path | str | None = None) -> Layouts:
    """The stored layouts, after making sure that they are of these runs.

    Raises:
        DataError: they are missing or of other runs.
    """
    path = embedded("layouts.safetensors") if path is None else Path(path)
    try:
        arrays = load_arrays(regular(Path(path)))
        facts = json.loads(arrays["facts"].tobytes())
        keys = [(str(a), str(b), float(c), int(d)) for a, b, c, d in facts["keys"]]
        index = arrays["index"].astype(np.int64)
        places = dict(zip(keys, arrays["places"].astype(np.float32), strict=True))
        trust = {k: float(v) for k, v in zip(keys, facts["trust"], strict=True)}
        of = dict(facts["runs"])
        if arrays["places"].shape != (len(keys), len(index), 2):
            raise BadValue("its parts do not fit together")
    except Exception as error:  # each of the readers has errors of its own
        raise DataError(
            f"the stored layouts cannot be read: {showable(error)}; make them again: {AGAIN}."
        ) from error
    if of != {name: run.key for name, run in runs.items()}:
        raise DataError(f"{path} holds layouts of other runs; make them again: {AGAIN}.")
    return Layouts(index, of, places, trust)
