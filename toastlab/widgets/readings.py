"""One training sample under each reading: what it is taught when drawn newly, and when carried."""

from collections.abc import Iterator

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from toastlab.core.errors import BadValue
from toastlab.core.stream import Batch
from toastlab.data.dataset import Dataset, images_of
from toastlab.data.ids import caption
from toastlab.medoids.targets import class_targets, soft_targets
from toastlab.methods import Toast, ToastConfig
from toastlab.plots import describe_reading_view, reading_view
from toastlab.plots.reading import Taught
from toastlab.store.runs import Run
from toastlab.widgets.number import Number
from toastlab.widgets.panel import Panel, choice, slider

# How a carried sample is taught, in words -> `ToastConfig.carried_loss`
READINGS = {
    "distilled only": "distilled",
    "label and KL": "label-and-kl",
    "mixed target": "target",
    "mixed by confidence": "confidence",
}
EACH = 8  # samples of a kind
OPENS_AT = 10  # epoch: by then most wrong labels are not learnt yet
NO_CHANGE = 0.005  # of a probability, what two digits do not show


class ReadingPanel(Panel):
    """A real sample of a stored run, and the loss of `Toast` under a reading of the abstract.

    The network's logits are those of an epoch, the past prediction and the medoids those of the
    epoch before. (A carried sample's past prediction is one step old; of steps no history is kept.)
    Gradients and the point that the carried loss pulls towards come from `Toast.loss` by autograd,
    for a batch of this one sample.

    Args:
        run: a TOAST run of two epochs or more with logits and medoids.
        data: what it was trained on.

    Raises:
        ValueError: the run keeps too little.
    """

    def __init__(self, run: Run, data: Dataset) -> None:
        medoids, dynamics = run.group("medoids"), run.dynamics
        if dynamics is None or dynamics.logits is None or len(dynamics.logits) < 2 or not medoids:
            raise BadValue(
                f"run {run.key} does not keep logits and medoids of two epochs; train TOAST with "
                "record='logits' and two epochs or more."
            )
        self.data, self.dynamics, self.logits = data, dynamics, dynamics.logits
        self.medoids = torch.from_numpy(medoids["logits"].astype(np.float32))
        self.exists = torch.from_numpy(medoids["index"] >= 0)
        samples, last, default = list(self._samples()), len(self.logits), ToastConfig()
        a, b = default.medoid_weight, default.past_weight
        controls = {
            "reading": choice(
                "reading", list(READINGS.items()), default.carried_loss, "a carried sample's loss"
            ),
            "sample": choice(
                "sample", samples, samples[0][1], "wrong labels first, right ones last"
            ),
            "epoch": slider("epoch", range(2, last + 1), min(OPENS_AT, last), "when it is drawn"),
            "medoid_weight": Number("medoid weight a", 0, 1, 0.05, a, "share of the medoid's q"),
            "past_weight": Number("past weight b", 0, 3, 0.05, b, "of what it said before"),
            "medoid_temperature": Number(
                "temperature T_m", 0.25, 10, 0.25, default.medoid_temperature, "of the medoid's q"
            ),
            "past_temperature": Number(
                "temperature T_p",
                0.25,
                10,
                0.25,
                default.past_temperature,
                "of the past prediction",
            ),
        }
        super().__init__(controls, "Live: the library's own loss and gradients at each move.")

    def _samples(self) -> Iterator[tuple[str, int]]:
        """The first few of each kind, in words, with their positions in the training split."""
        names, dynamics = self.data.classes, self.dynamics
        right = dynamics.correct.mean(0) >= 0.5
        kinds = {
            "flipped label": dynamics.flipped,
            "misclassified": ~dynamics.flipped & ~right,
            "right": ~dynamics.flipped & right,
        }
        for kind, chosen in kinds.items():
            for i in np.flatnonzero(chosen)[:EACH].tolist():
                label, clean = names[dynamics.labels[i]], names[dynamics.clean_labels[i]]
                what = f"{clean} as {label}" if kind == "flipped label" else label
                yield f"{kind}: {what}, {caption(self.data.train.ids[i])}", i

    def config(self) -> ToastConfig:
        """The reading of the controls. Where b is a share of one target, it is at most what is
        left."""
        a, b = self.value("medoid_weight"), self.value("past_weight")
        most = {"target": 1 - a, "confidence": 1.0}.get(self.value("reading"), b)
        return ToastConfig(
            carried_loss=self.value("reading"),
            medoid_weight=a,
            past_weight=min(b, most),
            medoid_temperature=self.value("medoid_temperature"),
            past_temperature=self.value("past_temperature"),
            ramp="none",
        )

    def taught(self) -> Taught:
        """What the chosen sample is taught; see `plots.Taught`."""
        config, i, epoch = self.config(), self.value("sample"), self.value("epoch")
        now, past = (
            torch.from_numpy(self.logits[e, i].astype(np.float64))[None]
            for e in (epoch - 1, epoch - 2)
        )
        label = torch.from_numpy(self.dynamics.labels[[i]])
        method = Toast(label.repeat(2), self.data.num_classes, 2, config)
        before = self.medoids[epoch - 2], self.exists[epoch - 2]
        soft = soft_targets(*before, config.medoid_temperature)
        method.table = class_targets(soft, config.medoid_weight)
        new, carried = (_batch(label, past, one) for one in (False, True))
        rest = _minimum(method, now, carried)
        shown = (
            now.softmax(1),
            method.targets(new),
            (past / config.past_temperature).softmax(1),
            rest.softmax(1),
            _push(method, now, new),
            _push(method, now, carried),
        )
        return Taught(*(x[0].double().numpy() for x in shown))

    def draw(self) -> tuple[Figure, str]:
        """The sample's bars; the finding stands above them and begins the sentence."""
        i, label = self.value("sample"), int(self.dynamics.labels[self.value("sample")])
        taught, names = self.taught(), self.data.classes
        before = float(_softmax(self.logits[self.value("epoch") - 2, i])[label])
        finding = self._finding(taught, before)
        (image,) = images_of(self.data.train, np.array([i]))
        figure = reading_view(image, taught, names, label, finding)
        said = [f"{finding}.", self._state(i), describe_reading_view(taught, names, label)]
        if self.config().past_weight < self.value("past_weight"):
            said.append(f"As a share of one target b counts as {self.config().past_weight:g} here.")
        return figure, " ".join(said)

    def _finding(self, taught: Taught, before: float) -> str:
        """Where the label goes when the sample is carried, from `before`, as the reading has it."""
        i, names = self.value("sample"), self.data.classes
        label, reading = int(self.dynamics.labels[i]), self.value("reading")
        kind = "wrong label" if self.dynamics.flipped[i] else "label"
        (words,) = (words for words, value in READINGS.items() if value == reading)
        rest = float(taught.rest[label])
        if abs(rest - before) <= NO_CHANGE:
            does = f"holds the sample to what it said before, {names[label]} {before:.2f}"
            does += f": the {kind} is not taught again"
        else:
            does = "pulls towards" if rest > before else "pulls down"
            again = " again" if rest > before else ""
            does += f" the {kind} {names[label]}{again}, from {before:.2f} to {rest:.2f}"
        return f"Carried, “{words}” {does}"

    def _state(self, i: int) -> str:
        """What the sample is, and what the network said of it."""
        names, label, clean = self.data.classes, self.dynamics.labels, self.dynamics.clean_labels
        said = int(self.logits[self.value("epoch") - 2, i].argmax())
        what = f"A {names[clean[i]]} whose label was flipped to {names[label[i]]}"
        if clean[i] == label[i]:
            what = f"A {names[label[i]]} with its right label"
        carried = "so that it can be carried" if said != label[i] else "so that it is not carried"
        return (
            f"{what}; after epoch {self.value('epoch') - 1} the network took it for {names[said]}, "
            f"{carried} where the criterion is misclassified."
        )


def _softmax(logits: np.ndarray) -> np.ndarray:
    return np.asarray(torch.from_numpy(logits.astype(np.float64)).softmax(0).numpy())


def _batch(label: Tensor, past: Tensor, carried: bool) -> Batch:
    """A batch of one sample, carried with its past logits [1, K] or drawn newly."""
    one = torch.zeros(1, dtype=torch.int64)
    return Batch(
        index=one,
        images=torch.zeros(1, 1, 1, 1, dtype=torch.uint8),
        labels=label,
        carried=torch.tensor([carried]),
        past=past,
        visits=one,
        partner=one,
        partner_labels=label,
        weight=torch.ones(1),
    )


def _push(method: Toast, logits: Tensor, batch: Batch) -> Tensor:
    """Minus the gradient of the loss on the logits [1, K]."""
    z = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(method.loss(z, batch).total, z)
    return -gradient


def _minimum(method: Toast, logits: Tensor, batch: Batch) -> Tensor:
    """The logits [1, K] where the loss of the batch is smallest, sought from `logits` on. The loss
    is convex in the logits, so that there is one such answer."""
    z = logits.clone().requires_grad_()
    seek = torch.optim.LBFGS([z], max_iter=60, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        loss = method.loss(z, batch).total
        (z.grad,) = torch.autograd.grad(loss, z)
        return loss

    seek.step(closure)  # type: ignore[no-untyped-call]
    return z.detach()
