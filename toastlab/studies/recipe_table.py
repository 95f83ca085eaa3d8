"""A recipe's runs, its table beside the published figures, and the page about all recipes."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from toastlab.analysis.measures import measure_of
from toastlab.analysis.statistics import BASELINE
from toastlab.bench.text import markdown
from toastlab.core.errors import DataError, some_of
from toastlab.data.dataset import DataConfig
from toastlab.methods.plan import Budget
from toastlab.studies.arms import ARM_OF, plan
from toastlab.studies.catalogue import HELD_OUT, RecipeOptions
from toastlab.studies.recipes import RECIPES, Recipe
from toastlab.studies.rows import NAMES, Entry, rows_of, write_rows
from toastlab.studies.study import Progress, Work, table_path
from toastlab.training.config import TrainConfig
from toastlab.training.names import MODELS

ALL_DIFFER = (
    "Every method keeps this kit's default settings (`toastlab train METHOD --help`), most of them "
    "its own paper's, whatever the recipe.",
    f"{100 * HELD_OUT:g} % of the training images are held out, for the fitted temperature "
    "(`--val-share`); the papers train on all of them.",
    "The last epoch is reported; most of the released code reports the best epoch on the test "
    "split, which is more (column `best_minus_last` of the table).",
    "The networks are torchvision's, with stems for small images.",
    "Images are cropped after 4 pixels of black border and mirrored at random, on both data sets. "
    "Tiny-ImageNet keeps its 64 x 64 pixels; four of the released repositories make them 32 x 32: "
    "`--size 32`.",
)
CAVEAT = (
    "Published figures come from other code, often from one run or the best test epoch, and "
    "sometimes from another network: to read beside ours, not to test against."
)


def steps(options: RecipeOptions, work: Work) -> Iterator[Progress]:
    """Network by network; rows of other networks that stand in the table stay.

    Raises:
        ValueError: no such network, too many epochs. DataError: the table is of another setting.
    """
    some_of("model", options.models, MODELS)
    base = _base(options)
    _check_setting(_file(options, work.out), RECIPES[options.recipe].label(base))
    return _train(options, base, work)


def _train(options: RecipeOptions, base: TrainConfig, work: Work) -> Iterator[Progress]:
    names = list(dict.fromkeys([BASELINE, *(ARM_OF[name] for name in options.methods)]))
    recipe, file = RECIPES[options.recipe], _file(options, work.out)
    for model in options.models:
        at = replace(base, model=model)
        wanted = entries(recipe, at, names, options.seeds, options.budgets)
        jobs = [entry.job for entry in wanted]
        runs = yield from work.train(jobs, model, leave_out_diverged=False)
        write_rows(file, rows_of(model, wanted, runs))


def _base(options: RecipeOptions) -> TrainConfig:
    """The runs' settings, but for network, method, seed and budget."""
    data = DataConfig(
        name=options.data, path=options.path, size=options.size, val_share=options.val_share
    )
    return RECIPES[options.recipe].config(
        options.models[0], data, epochs=options.epochs, batch_size=options.batch_size
    )


def _file(options: RecipeOptions, out: Path) -> Path:
    """The table: `out`, or in that folder a file with the setting's name."""
    setting = RECIPES[options.recipe].label(_base(options))
    return table_path(out, re.sub(r"[^a-z0-9]+", "-", setting.lower()).strip("-"))


def _check_setting(file: Path, setting: str) -> None:
    """Sees to it that no table of something else is written over."""
    if not file.exists():
        return
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is not a table ({error}); choose another file with --out.") from (
            error
        )
    if not set(NAMES) <= set(table) or set(table.setting) - {setting}:
        raise DataError(
            f"{file} does not hold {setting!r}, and recipes never share a table; choose another "
            "file with --out."
        )


def entries(
    recipe: Recipe, base: TrainConfig, arms: Sequence[str], seeds: int, budgets: Sequence[Budget]
) -> list[Entry]:
    """Every row of one network, as `rows_of` takes them; the part is the recipe.

    Args:
        base: as of `Recipe.config`; arms: names of `ARMS`; budgets: "samples", "images".
    """
    setting = {recipe.label(base): base.data}
    return [
        Entry(recipe.name, budget, job)
        for budget in budgets
        for job in plan(arms, seeds, replace(base, budget=budget), setting)
    ]


def beside(recipe: Recipe, table: pd.DataFrame) -> pd.DataFrame:
    """Ours, mean and standard deviation over the seeds, beside what others published, as text.

    Args:
        table: as of `rows_of`, of this recipe.
    """
    published = {
        (p.model, p.method, p.metric): p
        for p in recipe.published
        if table.setting.str.startswith(f"{recipe.name}: {p.data}").all()
    }
    rows = []
    for (model, budget, method), group in table.groupby(["model", "budget", "method"], sort=False):
        row = {"network": model, "budget": budget, "method": method, "seeds": str(len(group))}
        theirs = ""
        for column in ("test_top1", "test_ece"):
            what = measure_of(column)
            values = what.factor * group[column]
            deviation = f" ± {values.std():.2f}" if len(group) > 1 else ""
            row[what.heading] = f"{values.mean():.2f}{deviation}"
            figure = published.get((str(model), str(method), what.short))
            row[f"published {what.heading}"] = str(figure or "")
            theirs = theirs or (figure.network if figure else "")
        rows.append({**row, "their network": theirs})
    return pd.DataFrame(rows)


def results(options: RecipeOptions, out: Path) -> list[str | tuple[str, pd.DataFrame]]:
    """The table beside the published figures, a part per network, and what to know of them."""
    recipe, file = RECIPES[options.recipe], _file(options, out)
    table = pd.read_csv(file)
    rows, setting = beside(recipe, table), recipe.label(_base(options))
    shown: list[str | tuple[str, pd.DataFrame]] = [
        (f"{setting}, {network}", part.drop(columns="network"))
        for network, part in rows.groupby("network", sort=False)
    ]
    shown += ["Test split, last epoch, mean ± deviation; ECE over 15 bins.", f"{recipe.paper}."]
    if any(rows["their network"]):
        shown += [f"Published: {recipe.source}.", CAVEAT]
    else:
        shown.append("No published figures are noted for these networks, methods and data.")
    if "shortened" in setting:
        shown.append("These runs are shortened: they say nothing about the published figures.")
    return [*shown, f"{len(table)} rows: {file}"]


def overview() -> pd.DataFrame:
    """Every recipe in a row of text."""
    return pd.DataFrame(
        [
            {
                "recipe": r.name,
                "epochs": str(r.epochs),
                "rate": f"{r.learning_rate:g}",
                "falls": f"x {r.decay:g} at " + ", ".join(map(str, r.drops)),
                "weight decay": f"{r.weight_decay:.0e}".replace("e-0", "e-"),
                "batch": str(r.batch_size),
                "momentum": "0.9, Nesterov" if r.nesterov else "0.9",
                "warm-up epochs": str(r.warmup_epochs),
                "paper": r.paper,
            }
            for r in RECIPES.values()
        ]
    )


INTRODUCTION = """\
# The literature's recipes

Made by `toastlab study page recipe`. A recipe is how a paper trains: optimizer, schedule,
epochs, batch. One command trains every method with it, on five families of networks, and
writes a table of one row per run. Recipes never share a table: weight decay and epochs
alone move top-1 by more than most methods do.

**Not yet run on a GPU.** The commands are tested by runs of one epoch on a few images
in the data sets' own formats. Time and memory on a GPU have not been measured, so none
stand here. A whole recipe is every method x five networks x three seeds, more than 200
runs; `--models`, `--methods` and `--seeds` take fewer. What is finished is found again, and
what was interrupted goes on after its last whole epoch.

An epoch is N new samples (`--budgets samples`), as the papers count: a method that looks
at an image twice does more work. `--budgets samples images` adds runs with equally many
images through the network. `--epochs 2` shortens a recipe, and the table says so.

What differs from the papers in all of them:
"""


def page() -> str:
    """Markdown: every recipe with its settings, differences, published figures and command."""
    lines = [INTRODUCTION, *(f"- {sentence}" for sentence in ALL_DIFFER), "", CAVEAT]
    for recipe, (_, row) in zip(RECIPES.values(), overview().iterrows(), strict=True):
        settings = row.drop(["recipe", "paper"]).to_frame().T
        lines += ["", f"## {recipe.name}", "", f"{recipe.paper}.", ""]
        lines += [markdown(settings), recipe.differs, "", _published(recipe)]
        lines += [
            f"    toastlab study run recipe {recipe.name} --data cifar100",
            f"    toastlab study run recipe {recipe.name} --data tiny-imagenet --path FOLDER",
        ]
    return "\n".join(lines).replace(" --- ", "---") + "\n"


def _published(recipe: Recipe) -> str:
    if not recipe.published:
        return "No published figures are noted here.\n"
    figures: dict[tuple[str, str, str], dict[str, str]] = {}
    for p in recipe.published:
        figures.setdefault((p.data, p.network, p.method), {})[p.metric] = str(p)
    rows = [(*names, v["top-1"], v.get("ECE", "")) for names, v in figures.items()]
    columns = ["data", "their network", "method", "top-1 %", "ECE %"]
    return f"Published ({recipe.source}):\n\n{markdown(pd.DataFrame(rows, columns=columns))}"
