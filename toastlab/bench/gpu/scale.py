"""How much is measured, and how long it may take."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from toastlab.bench.config import BASE, at_work
from toastlab.bench.medoids import SHAPES
from toastlab.bench.trainee import Trainee
from toastlab.core.settings import Count, Settings
from toastlab.data.augment import Augment, AugmentConfig
from toastlab.data.splits import Split
from toastlab.methods import CONFIGS, Plan
from toastlab.training.models import build

# The two that matter most first, since time may end before the others.
METHODS = (BASE, "toast", *(name for name in CONFIGS if name not in (BASE, "toast")))
Content = dict[str, Any]  # what a part has found so far, as it goes into the JSON


@dataclass(frozen=True)
class Scale(Settings):
    """What the parts measure. The defaults are ResNet-18 on made-up images of CIFAR-100's shape."""

    model: str = "resnet18"  # Network of the steps.
    classes: Count = 100  # K.
    samples: int = 50_000  # N, made-up images.
    size: Count = 32  # Height and width of an image in pixels; it has three channels.
    batch_sizes: tuple[int, ...] = (128, 512)  # B, each measured by itself.
    steps: Count = 20  # Most steps between two looks at the clock.
    rounds: Count = 5  # Timed rounds, after one to warm up; a ratio is their median.
    methods: tuple[str, ...] = METHODS  # Methods to time; ratios are to the first.
    # Compiler of torch.compile; aot_eager compiles nothing and needs no C++ compiler.
    compiler: Literal["inductor", "aot_eager"] = "inductor"
    logits: tuple[str, ...] = tuple(SHAPES)  # Banks whose medoids are made, see `SHAPES`.
    epochs: Count = 30  # Of the demo's runs.
    seeds: Count = 3  # Of the demo's runs.
    networks: tuple[int, ...] = (8, 64)  # Trained as one, against one by one.
    seconds: float = 480.0  # Of everything.
    is_small: bool = False  # A few of everything, on made-up medoids too.


SMALL = Scale(
    model="mlp",
    classes=4,
    samples=256,
    size=8,
    batch_sizes=(16,),
    steps=2,
    rounds=1,
    methods=("cross-entropy", "toast", "dlb"),
    compiler="aot_eager",
    logits=("tiny",),
    epochs=1,
    seeds=1,
    networks=(2,),
    seconds=3600.0,  # it is a busy machine's tests that run it
    is_small=True,
)


class Until:
    """A time that something must end by.

    Args:
        seconds: from now on.
    """

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left; below 0 when it is over."""
        return self.end - time.monotonic()

    @property
    def over(self) -> bool:
        """Whether there is no time left."""
        return self.left <= 0


# A part: yields what it has found so far, so that what is cut off loses only what was to come.
Measure = Callable[[Scale, torch.device, Until], Iterator[Content]]


def images_of(scale: Scale, device: torch.device) -> Split:
    """Made-up images and labels by chance; nothing is to be learnt, so that at every step nearly
    all samples are misclassified and the carry is full, which is when TOAST costs most."""
    draws = torch.Generator().manual_seed(0)
    shape = (scale.samples, 3, scale.size, scale.size)
    images = torch.randint(0, 256, shape, generator=draws, dtype=torch.uint8)
    labels = torch.randint(scale.classes, (scale.samples,), generator=draws)
    return split_of(images.to(device), labels.to(device))


def split_of(images: Tensor, labels: Tensor) -> Split:
    """Images with right labels."""
    return Split(images, labels, labels)


def network_of(scale: Scale, device: torch.device, seed: int = 0) -> nn.Module:
    """The network of the steps, channels innermost as in training."""
    network = build(scale.model, scale.classes, 3, scale.size, seed).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def trainee_of(
    scale: Scale,
    name: str,
    split: Split,
    network: nn.Module,
    batch_size: int,
    bf16: bool,
    teacher: nn.Module | None = None,
) -> Trainee:
    """A method on them: crop, flip, and all that it does at work in every step.

    All that is drawn comes from the device's own generator, which CUDA graphs know how to wind on.
    """
    channels = split.images.shape[1]
    crops = AugmentConfig(crop=4, flip=True)
    return Trainee(
        at_work(name),
        split,
        network,
        scale.classes,
        batch_size,
        augment=Augment(crops, (0.5,) * channels, (0.25,) * channels),
        plan=Plan(epochs=10, budget="samples"),
        teacher=None if teacher is None else lambda: teacher,
        bf16=bf16,
    )
