"""The studies: what each asks, how long it takes, what can be chosen. Reading this trains nothing.

The names stand here as they are typed, so that the help knows them before anything is loaded.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from tyro.conf import Positional, arg

from toastlab.core.settings import InnerShare, Range
from toastlab.studies.options import Options, Seeds
from toastlab.studies.study import Study

MethodName = Literal[
    "cross-entropy",
    "label-smoothing",
    "toast-stage-1",
    "toast-stage-2",
    "toast",
    "toast-random-carry",
    "toast-class-mean",
    "toast-literal",
    "toast-confidence",
    "toast-label-and-kl",
    "ols",
    "tf-kd",
    "tf-kd-self",
    "cs-kd",
    "ps-kd",
    "dlb",
    "bake",
    "byot",
    "selc",
    "elr",
    "zipf",
    "gce",
    "sce",
]
METHOD_NAMES: tuple[MethodName, ...] = get_args(MethodName)
RecipeName = Literal[
    "ps-kd-300", "cs-kd-200", "bake-200", "tf-kd-200", "dlb-240", "self-kd-lib-200"
]
Part = Literal["defaults", "pairwise", "augmented", "tuned"]
PARTS: tuple[Part, ...] = get_args(Part)
Budget = Literal["images", "samples"]
NoiseName = Literal["symmetric", "pairwise", "feature-dependent"]
NOISE_NAMES: tuple[NoiseName, ...] = get_args(NoiseName)
RecipeData = Literal["cifar100", "tiny-imagenet"]
FAMILIES = ("resnet18", "vgg16-bn", "densenet121", "wide-resnet50", "mobilenet-v2")
HELD_OUT = 0.02  # of the training images, for the fitted temperature; the papers hold out none


@dataclass(frozen=True)
class PeersOptions(Options):
    """What of the comparison of all methods is made."""

    # Networks: mlp takes about 3 hours on two cores; resnet-small, with --parts defaults, 40
    # minutes.
    models: tuple[Literal["mlp", "resnet-small"], ...] = ("mlp",)
    # Parts: defaults (of every source), pairwise (noise), augmented (Cutout, Mixup, CutMix), tuned
    # (on validation, the same number of trials for every method).
    parts: tuple[Part, ...] = PARTS
    # Budgets: samples (equally many new ones), images (equally many through the network), both; the
    # other parts than defaults have equal samples only.
    budgets: tuple[Budget, ...] = ("samples", "images")
    seeds: Seeds = 5  # How many seeds, 1 to 1000.
    # How many seeds at equal samples under 20 % noise, of every method, and of cross-entropy, label
    # smoothing and TOAST's parts wherever defaults are compared; 1 to 1000.
    more_seeds: Seeds = 10


@dataclass(frozen=True)
class ReadingsOptions(Options):
    """How many readings of the abstract start, and how many are looked at closely."""

    readings: Annotated[int, Range(4, 1024)] = 111  # Readings that start, 4 to 1024.
    rounds: Annotated[int, Range(1, 8)] = 3  # Rounds of the race, 1 to 8; half goes on from each.
    finalists: Annotated[int, Range(1, 64)] = 10  # The best that go on, beside two for reference.
    seeds: Seeds = 10  # How many seeds in the final, 1 to 1000.


@dataclass(frozen=True)
class ScoresOptions(Options):
    """Which noise, which training methods, and how many folds and seeds."""

    # Noise: symmetric (to any other class), pairwise (to the next), feature-dependent (where a
    # small network is unsure).
    noises: tuple[NoiseName, ...] = NOISE_NAMES
    # Shares of the labels that are flipped, each above 0 and below 1.
    rates: tuple[InnerShare, ...] = (0.2,)
    # Methods to train with, as `toastlab compare` has them.
    methods: Annotated[tuple[MethodName, ...], arg(metavar="[METHOD ...]")] = (
        *("cross-entropy", "toast", "elr"),
    )
    folds: Annotated[int, Range(2, 20)] = 5  # Parts for the out-of-sample scores, 2 to 20.
    seeds: Seeds = 5  # How many seeds, 1 to 1000.


@dataclass(frozen=True)
class RecipeOptions(Options):
    """Which paper's recipe is run, on which data and networks, with which methods."""

    # Recipe: ps-kd-300, cs-kd-200, bake-200, tf-kd-200, dlb-240 or self-kd-lib-200.
    recipe: Annotated[Positional[RecipeName], arg(metavar="RECIPE")]
    data: RecipeData = "cifar100"  # Data set: cifar100 or tiny-imagenet.
    path: str = ""  # Folder of the data; needed for tiny-imagenet.
    # Resize to size x size pixels, up to 4096; 0: as stored. Much of the literature has
    # Tiny-ImageNet at 32.
    size: int = 0
    # Share of the training images held out for the fitted temperature, in (0, 1).
    val_share: InnerShare = HELD_OUT
    models: tuple[str, ...] = FAMILIES  # Networks, as `toastlab train` lists them.
    # Methods to compare; cross-entropy is always among them.
    methods: Annotated[tuple[MethodName, ...], arg(metavar="[METHOD ...]")] = METHOD_NAMES
    seeds: Seeds = 3  # How many seeds, 1 to 1000.
    # What an epoch is: samples (N new samples, as the papers count), images (N images through the
    # network), or both.
    budgets: tuple[Budget, ...] = ("samples",)
    # Fewer epochs than the paper's shorten the recipe, and the table says so; 0: the paper's.
    epochs: int = 0
    batch_size: int = 0  # Images in a batch, even, from 2; 0: the paper's.


STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        Study(
            "peers",
            "Is any self-distillation method better, at equal budgets and tuned with equal effort?",
            "about 3 hours on two cores for the mlp, 40 minutes for resnet-small with its defaults",
            PeersOptions,
            ("rows", "trials", "curves"),
            "toastlab.studies.peers",
            "data/peers",
            page_module="toastlab.studies.claims",
            page_out="docs/claims.md",
        ),
        Study(
            "readings",
            "Which reading of the abstract does what the abstract says?",
            "3 to 4 hours on two cores",
            ReadingsOptions,
            ("final", "race"),
            "toastlab.studies.readings",
            "data/readings",
            page_module="toastlab.studies.reading_claims",
            page_out="docs/readings.md",
        ),
        Study(
            "ablation",
            "Which of TOAST's weights, temperatures and criteria matter?",
            "about 40 minutes on two cores",
            Options,
            ("rows",),
            "toastlab.studies.ablation",
            "data/ablation.csv",
        ),
        Study(
            "regime",
            "Where does self-distillation help, by data, noise, epochs and augmentation?",
            "about two hours on two cores",
            Options,
            ("rows", "curves"),
            "toastlab.studies.regime",
            "data/regime",
        ),
        Study(
            "scores",
            "How well does each score of a training find wrong labels, and tell them from rare "
            "ones?",
            "about 15 minutes on two cores",
            ScoresOptions,
            ("rows", "plane"),
            "toastlab.studies.scores",
            "data/scores",
            page_module="toastlab.studies.scores_page",
            page_out="docs/scores.md",
        ),
        Study(
            "recipe",
            "How do the methods compare when trained as the literature trains, on a GPU?",
            "not timed yet: every method is more than 200 runs of 200 to 300 epochs, for a GPU",
            RecipeOptions,
            (),
            "toastlab.studies.recipe_table",
            "results",
            device="auto",
            page_module="toastlab.studies.recipe_table",
            page_out="docs/recipes.md",
        ),
        Study(
            "layouts",
            "How do t-SNE pictures of logits and soft targets move from epoch to epoch?",
            "3 minutes",
            Options,
            ("layouts",),
            "toastlab.studies.layouts",
            "data/layouts.safetensors",
            store="data/runs",
        ),
    )
}
