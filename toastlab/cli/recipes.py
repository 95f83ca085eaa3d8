"""Commands for the literature's recipes: list them, run one, write the page about them."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
from tyro.conf import Positional

from toastlab.analysis.statistics import BASELINE
from toastlab.cli.terminal import comparison_table, console, output_file, progress
from toastlab.core.errors import DataError, one_of, some_of
from toastlab.data.dataset import DataConfig
from toastlab.methods.plan import BUDGETS, Budget
from toastlab.store.runs import Run, RunStore
from toastlab.studies.compare import ARM_OF, Job, run_all
from toastlab.studies.peers import KEPT, rows_of, write_rows
from toastlab.studies.recipe_table import CAVEAT, beside, entries, page, summary
from toastlab.studies.recipes import DATA, FAMILIES, HELD_OUT, RECIPES, Recipe
from toastlab.training import device as devices
from toastlab.training.models import MODELS


def recipe_list() -> None:
    """The recipes: the papers they are from, epochs, learning rate, weight decay, batch."""
    screen, rows = console(), summary()
    screen.print(comparison_table("", rows.drop(columns="paper")))
    for row in rows.to_dict("records"):
        screen.print(f"{row['recipe']}: {row['paper']}.")


def recipe_run(
    name: Positional[str],
    data: str = "cifar100",
    path: str = "",
    size: int = 0,
    val_share: float = HELD_OUT,
    models: tuple[str, ...] = FAMILIES,
    arms: tuple[str, ...] = tuple(ARM_OF),
    seeds: int = 3,
    budgets: tuple[Budget, ...] = ("samples",),
    epochs: int = 0,
    batch_size: int = 0,
    store: str = "runs",
    out: str = "",
    device: str = "auto",
    workers: int = 0,
) -> None:
    """Trains every method with a paper's recipe; a table, and the published figures beside it.

    Args:
        name: A recipe, as `toastlab recipe list` shows it.
        data: Data set: cifar100 or tiny-imagenet.
        path: Folder of the data; needed for tiny-imagenet.
        size: Resize to size x size pixels, up to 4096; 0: as stored. Much of the literature has
            Tiny-ImageNet at 32.
        val_share: Share of the training images held out for the fitted temperature,
            in (0, 1).
        models: Networks, as `toastlab train` lists them.
        arms: Methods to compare; cross-entropy is always among them.
        seeds: How many seeds, 1 to 1000.
        budgets: What an epoch is: samples (N new samples, as the papers count), images (N images
            through the network), or both.
        epochs: Fewer than the paper's shorten the recipe, and the table says so; 0: the paper's.
        batch_size: Images in a batch, even, from 2; 0: the paper's.
        store: Folder of runs; what is there is not trained again.
        out: The table, in the form of data/peers/rows.csv; empty: results/ and the setting's name.
            Rows of other networks that stand in it stay.
        device: Device: auto, cuda, cuda:1, mps or cpu.
        workers: Runs side by side, up to 1024; 0 chooses by cores, and one on a GPU.
    """
    recipe = RECIPES[one_of("recipe", name, RECIPES)]
    source = DataConfig(
        name=one_of("data set", data, DATA), path=path, size=size, val_share=val_share
    )
    some_of("method", arms, ARM_OF)
    names = list(dict.fromkeys([BASELINE, *(ARM_OF[arm] for arm in arms)]))
    some_of("model", models, MODELS)
    some_of("budget", budgets, BUDGETS)
    devices.choose(device)
    RunStore(store).check_writable()
    common = recipe.config(models[0], source, epochs=epochs, batch_size=batch_size)
    setting = recipe.label(common)
    file = output_file(out or f"results/{_file_name(setting)}.csv")
    _check_setting(file, setting)
    for model in models:
        wanted = entries(recipe, replace(common, model=model), names, seeds, budgets)
        single = list(dict.fromkeys(entry.job for entry in wanted))
        done: dict[Job, Run] = {}
        with progress() as bar:
            task = bar.add_task(f"starting {model}", total=len(single))
            for job, run in run_all(single, store, device=device, workers=workers):
                done[job] = run
                bar.update(task, advance=1, description=f"{model}: {len(done)} of {len(single)}")
        write_rows(file, rows_of(model, wanted, done))
    table = pd.read_csv(file)
    _show(recipe, setting, table)
    console().print(f"\n{len(table)} rows: {file}")


def recipe_page(out: str = "docs/recipes.md") -> None:
    """Writes the page about the recipes.

    Args:
        out: The page, Markdown.
    """
    output_file(out).write_text(page(), encoding="utf-8")
    console().print(out)


def _file_name(setting: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", setting.lower()).strip("-")


def _check_setting(file: Path, setting: str) -> None:
    """Sees to it that no table of something else is written over.

    Raises:
        DataError: the file is there and is no table of this setting.
    """
    if not file.exists():
        return
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is not a table ({error}); choose another file with --out.") from (
            error
        )
    if not set(KEPT) <= set(table) or set(table.setting) - {setting}:
        raise DataError(
            f"{file} does not hold {setting!r}, and recipes never share a table; choose another "
            "file with --out."
        )


def _show(recipe: Recipe, setting: str, table: pd.DataFrame) -> None:
    screen, rows = console(), beside(recipe, table)
    for network, part in rows.groupby("network", sort=False):
        screen.print(comparison_table(f"{setting}, {network}", part.drop(columns="network")))
    screen.print(f"Test split, last epoch, mean ± deviation; ECE over 15 bins.\n{recipe.paper}.")
    if any(rows["their network"]):
        screen.print(f"Published: {recipe.source}.\n{CAVEAT}")
    else:
        screen.print("No published figures are noted for these networks, methods and data.")
    if "shortened" in setting:
        screen.print("These runs are shortened: they say nothing about the published figures.")
