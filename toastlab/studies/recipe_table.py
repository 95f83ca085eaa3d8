"""A recipe's runs, its table beside the published figures, and the page about all recipes."""

from collections.abc import Sequence

import pandas as pd

from toastlab.methods.plan import Budget
from toastlab.studies.compare import plan
from toastlab.studies.peers import Entry
from toastlab.studies.recipes import HELD_OUT, RECIPES, Recipe
from toastlab.training.config import TrainConfig

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


def entries(
    recipe: Recipe, base: TrainConfig, arms: Sequence[str], seeds: int, budgets: Sequence[Budget]
) -> list[Entry]:
    """Every row of one network, as `peers.rows_of` takes them; the part is the recipe.

    Args:
        base: as of `Recipe.config`; arms: names of `compare.ARMS`; budgets: "samples", "images".
    """
    found = []
    for budget in budgets:
        config = recipe.config(
            base.model, base.data, epochs=base.epochs, batch_size=base.batch_size, budget=budget
        )
        every = plan(arms, seeds, config, {recipe.label(base): base.data})
        found += [Entry(recipe.name, budget, job) for job in every]
    return found


def beside(recipe: Recipe, table: pd.DataFrame) -> pd.DataFrame:
    """Ours, mean and standard deviation over the seeds, beside what others published, as text.

    Args:
        table: as of `peers.rows_of`, of this recipe.
    """
    known = {
        (p.model, p.method, p.metric): p
        for p in recipe.published
        if table.setting.str.startswith(f"{recipe.name}: {p.data}").all()
    }
    rows = []
    for (model, budget, method), group in table.groupby(["model", "budget", "method"], sort=False):
        row = {"network": model, "budget": budget, "method": method, "seeds": str(len(group))}
        theirs = ""
        for metric, column in (("top-1", "test_top1"), ("ECE", "test_ece")):
            spread = f" ± {100 * group[column].std():.2f}" if len(group) > 1 else ""
            row[f"{metric} %"] = f"{100 * group[column].mean():.2f}{spread}"
            figure = known.get((str(model), str(method), metric))
            row[f"published {metric} %"] = str(figure or "")
            theirs = theirs or (figure.network if figure else "")
        rows.append({**row, "their network": theirs})
    return pd.DataFrame(rows)


def summary() -> pd.DataFrame:
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


def page() -> str:
    """Markdown: every recipe with its settings, differences, published figures and command."""
    lines = [
        "# The literature's recipes",
        "",
        "Made by `toastlab recipe page`. A recipe is how a paper trains: optimizer, schedule,",
        "epochs, batch. One command trains every method with it, on five families of networks, and",
        "writes a table of one row per run. Recipes never share a table: weight decay and epochs",
        "alone move top-1 by more than most methods do.",
        "",
        "**Not yet run on a GPU.** The commands are tested by runs of one epoch on a few images",
        "in the data sets' own formats. Time and memory on a GPU have not been measured, so none",
        "stand here. A whole recipe is every method x five networks x three seeds, more than 200",
        "runs; `--models`, `--arms` and `--seeds` take fewer. What is finished is found again, and",
        "what was interrupted goes on after its last whole epoch.",
        "",
        "An epoch is N new samples (`--budgets samples`), as the papers count: a method that looks",
        "at an image twice does more work. `--budgets samples images` adds runs with equally many",
        "images through the network. `--epochs 2` shortens a recipe, and the table says so.",
        "",
        "What differs from the papers in all of them:",
        "",
        *(f"- {sentence}" for sentence in ALL_DIFFER),
        "",
        CAVEAT,
    ]
    for recipe, row in zip(RECIPES.values(), summary().to_dict("records"), strict=True):
        settings = {k: v for k, v in row.items() if k not in ("recipe", "paper")}
        lines += ["", f"## {recipe.name}", "", f"{recipe.paper}.", ""]
        lines += ["| " + " | ".join(map(str, settings)) + " |", "|---" * len(settings) + "|"]
        lines += ["| " + " | ".join(map(str, settings.values())) + " |", ""]
        lines += [recipe.differs, ""]
        lines += _published(recipe)
        lines += [
            f"    toastlab recipe run {recipe.name} --data cifar100",
            f"    toastlab recipe run {recipe.name} --data tiny-imagenet --path FOLDER",
        ]
    return "\n".join(lines) + "\n"


def _published(recipe: Recipe) -> list[str]:
    if not recipe.published:
        return ["No published figures are noted here.", ""]
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for p in recipe.published:
        found.setdefault((p.data, p.network, p.method), {})[p.metric] = str(p)
    lines = [f"Published ({recipe.source}):", ""]
    lines += ["| data | their network | method | top-1 % | ECE % |", "|---|---|---|---|---|"]
    for names, values in found.items():
        lines.append("| " + " | ".join([*names, values["top-1"], values.get("ECE", "")]) + " |")
    return [*lines, ""]
