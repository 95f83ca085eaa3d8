"""The literature's training recipes on CIFAR-100 and Tiny-ImageNet, with the figures published.

Recipes never share a table: weight decay and epochs alone move top-1 by more than most methods do.
So every row of a table names its recipe, and every recipe writes a table of its own.

The settings are those of the papers and of the code that their authors released; what this kit does
otherwise is said in `differs`. The figures are copied from where `source` says, none of them made
here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from toastlab.core.errors import in_range
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.methods.plan import Budget
from toastlab.training.config import TrainConfig

DATA = ("cifar100", "tiny-imagenet")
FAMILIES = ("resnet18", "vgg16-bn", "densenet121", "wide-resnet50", "mobilenet-v2")
HELD_OUT = 0.02  # of the training images, for the fitted temperature; the papers hold out none
CROP_32 = "For Tiny-ImageNet the released code crops at random scales to 32 x 32."
CARRIED_OVER = "The released code has no Tiny-ImageNet: there the recipe is carried over."


@dataclass(frozen=True)
class Published:
    """A figure that others printed, of the test images that we report on too.

    Attributes:
        model: our network that stands nearest; network: theirs.
        method: as `compare.ARMS` calls it.
        metric: "top-1" or "ECE"; value: per cent.
        about: the source gives it as a rough figure.
        data: one of `DATA`.
    """

    model: str
    network: str
    method: str
    metric: str
    value: float
    about: bool = False
    data: str = "cifar100"

    def __str__(self) -> str:
        return f"about {self.value:.1f}" if self.about else f"{self.value:.2f}"


@dataclass(frozen=True)
class Recipe:
    """How a paper trains: one optimizer and schedule for all networks and methods.

    Attributes:
        paper: citation.
        epochs: of N new samples each; drops: after how many of them the rate falls by `decay`.
        warmup_epochs: of linear rise to the rate, the first of the epochs.
        differs: what this kit does otherwise.
        published, source: figures of others, and where they stand.
    """

    name: str
    paper: str
    epochs: int
    learning_rate: float
    drops: tuple[int, ...]
    weight_decay: float
    batch_size: int
    nesterov: bool
    differs: str
    decay: float = 0.1
    warmup_epochs: int = 0
    published: tuple[Published, ...] = ()
    source: str = ""

    def config(
        self,
        model: str,
        data: DataConfig,
        *,
        epochs: int = 0,
        batch_size: int = 0,
        budget: Budget = "samples",
    ) -> TrainConfig:
        """The run of a network with this recipe, all but method and seed.

        Args:
            epochs: fewer than the paper's shorten warm-up and schedule with them; 0: the paper's.
            batch_size: 0: the paper's.
            budget: see `TrainConfig`.

        Raises:
            ValueError: more epochs than the paper's, or what `TrainConfig` refuses.
        """
        in_range("epochs", epochs, 0, self.epochs)
        epochs = epochs or self.epochs
        rest = self.epochs - self.warmup_epochs
        return TrainConfig(
            data=data,
            augment=AugmentConfig(crop=4, flip=True),
            model=model,
            epochs=epochs,
            batch_size=batch_size or self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
            schedule="step",
            milestones=tuple((drop - self.warmup_epochs) / rest for drop in self.drops),
            decay=self.decay,
            warmup_epochs=self.warmup_epochs * epochs / self.epochs,
            precision="float32",  # as the papers have it
            budget=budget,
            record="none",  # the logits of every sample at every epoch would take gigabytes
        )

    def label(self, config: TrainConfig) -> str:
        """The setting's name in a table: recipe, data, and whatever is not the paper's."""
        parts = [f"{self.name}: {config.data.name}"]
        if config.data.size:
            parts.append(f"{config.data.size} x {config.data.size} pixels")
        if config.epochs != self.epochs:
            parts.append(f"shortened to {config.epochs} of {self.epochs} epochs")
        if config.batch_size != self.batch_size:
            parts.append(f"batch {config.batch_size}")
        return ", ".join(parts)


def _errors(
    model: str, network: str, figures: Mapping[str, tuple[float, float]]
) -> tuple[Published, ...]:
    """From method -> top-1 error and ECE in %, as printed there."""
    return tuple(
        Published(model, network, method, metric, value)
        for method, (error, ece) in figures.items()
        for metric, value in (("top-1", round(100 - error, 2)), ("ECE", ece))
    )


def _accuracies(
    model: str,
    network: str,
    figures: Mapping[str, float],
    about: bool = False,
    data: str = "cifar100",
) -> tuple[Published, ...]:
    """From method -> top-1 in %."""
    return tuple(
        Published(model, network, method, "top-1", value, about, data)
        for method, value in figures.items()
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="ps-kd-300",
            paper='K. Kim, B. Ji, D. Yoon, S. Hwang, "Self-Knowledge Distillation with Progressive '
            'Refinement of Targets", ICCV 2021',
            epochs=300,
            learning_rate=0.1,
            drops=(150, 225),
            weight_decay=5e-4,
            batch_size=128,
            nesterov=True,
            differs=f"Their ResNet-18 is a PreAct one. {CARRIED_OVER}",
            published=_errors(
                "resnet18",
                "PreAct ResNet-18",
                {
                    "cross-entropy": (24.18, 11.84),
                    "label smoothing": (20.94, 10.79),
                    "CS-KD": (21.30, 6.24),
                    "Tf-KD": (22.88, 11.96),
                    "PS-KD": (20.82, 1.77),
                },
            )
            + _errors(
                "densenet121",
                "DenseNet-121",
                {
                    "cross-entropy": (20.05, 7.34),
                    "label smoothing": (19.80, 3.76),
                    "CS-KD": (20.47, 13.80),
                    "Tf-KD": (19.88, 7.33),
                    "PS-KD": (18.73, 3.71),
                },
            ),
            source="the README of the authors' repository, lgcnsai/PS-KD-Pytorch; it prints the "
            "top-1 error, and its ECE has 10 bins, ours 15",
        ),
        Recipe(
            name="cs-kd-200",
            paper='S. Yun, J. Park, K. Lee, J. Shin, "Regularizing Class-wise Predictions via '
            'Self-knowledge Distillation", CVPR 2020',
            epochs=200,
            learning_rate=0.1,
            drops=(100, 150),
            weight_decay=1e-4,
            batch_size=128,
            nesterov=False,
            differs=f"Their ResNet-18 is a PreAct one. {CROP_32}",
            published=_accuracies("resnet18", "ResNet-18", {"cross-entropy": 75.5}, about=True),
            source="the baseline of the papers with this recipe: CS-KD, BAKE and FRSKD",
        ),
        Recipe(
            name="bake-200",
            paper='Y. Ge et al., "Self-distillation with Batch Knowledge Ensembling Improves '
            'ImageNet Classification", arXiv:2104.13298, 2021',
            epochs=200,
            learning_rate=0.1,
            drops=(100, 150),
            weight_decay=1e-4,
            batch_size=128,
            nesterov=False,
            differs="The settings are those of cs-kd-200, so the runs are the same ones. For "
            "Tiny-ImageNet the authors take M = 1 and w = 0.9, here they stay 3 and 0.5. "
            + CROP_32,
            published=_accuracies("resnet18", "ResNet-18", {"cross-entropy": 75.5}, about=True)
            + _accuracies("resnet18", "ResNet-18", {"BAKE": 78.72})
            + _accuracies("densenet121", "DenseNet-121", {"BAKE": 79.26})
            + _accuracies("resnet18", "ResNet-18", {"BAKE": 58.29}, data="tiny-imagenet")
            + _accuracies("densenet121", "DenseNet-121", {"BAKE": 62.93}, data="tiny-imagenet"),
            source="BAKE: the README of the authors' repository, yxgeee/BAKE, which prints the "
            "top-1 error; cross-entropy: the papers with this recipe, CS-KD, BAKE and FRSKD",
        ),
        Recipe(
            name="tf-kd-200",
            paper='L. Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing '
            'Regularization", CVPR 2020',
            epochs=200,
            learning_rate=0.1,
            drops=(60, 120, 160),
            decay=0.2,
            warmup_epochs=1,
            weight_decay=5e-4,
            batch_size=128,
            nesterov=False,
            differs="The released code also rotates the images, by up to 15 degrees (20 on "
            "Tiny-ImageNet, which it does not crop). Its settings of Tf-KD self differ from "
            "network to network; here all have those for ResNet-18 on CIFAR-100 (a 0.95, T 6, "
            "multiplier 50).",
            published=_accuracies("resnet18", "ResNet-18", {"cross-entropy": 75.87})
            + _accuracies("densenet121", "DenseNet-121", {"cross-entropy": 79.04})
            + _accuracies("mobilenet-v2", "MobileNetV2", {"cross-entropy": 68.38}),
            source="the README of the authors' repository, "
            "yuanli2333/Teacher-free-Knowledge-Distillation, which gives the baselines as text",
        ),
        Recipe(
            name="dlb-240",
            paper='Y. Shen, L. Xu, Y. Yang, Y. Li, Y. Guo, "Self-Distillation from the Last '
            'Mini-Batch for Consistency Regularization", CVPR 2022',
            epochs=240,
            learning_rate=0.05,
            drops=(150, 180, 210),
            weight_decay=5e-4,
            batch_size=64,
            nesterov=True,
            differs="The released code puts a batch of new images beside the whole batch before; "
            "here half of DLB's 64 images are new, so an epoch of it has twice the steps. "
            + CROP_32,
        ),
        Recipe(
            name="self-kd-lib-200",
            paper="winycg, Self-KD-Lib, public code: one library with many methods",
            epochs=200,
            learning_rate=0.1,
            drops=(105, 155),
            warmup_epochs=5,
            weight_decay=5e-4,
            batch_size=128,
            nesterov=True,
            differs="Its figures are single runs; the settings are the defaults of its main "
            "script.",
            published=_accuracies(
                "resnet18",
                "ResNet-18",
                {
                    "cross-entropy": 76.24,
                    "label smoothing": 78.72,
                    "CS-KD": 78.66,
                    "PS-KD": 79.31,
                    "BAKE": 76.93,
                    "BYOT": 77.88,
                },
            ),
            source="the table of winycg/Self-KD-Lib; it has more methods, which are not here",
        ),
    )
}
