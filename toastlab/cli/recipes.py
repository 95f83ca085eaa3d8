"""Commands for the literature's recipes: list them, run one, write the page about them."""

from typing import Annotated

from tyro.conf import arg

from toastlab.cli.notebooks import page, study
from toastlab.cli.terminal import comparison_table, console
from toastlab.studies.catalogue import RecipeOptions
from toastlab.studies.recipe_table import overview


def recipe_list() -> None:
    """The recipes: the papers they are from, epochs, learning rate, weight decay, batch."""
    screen, rows = console(), overview()
    screen.print(comparison_table("", rows.drop(columns="paper")))
    for row in rows.to_dict("records"):
        screen.print(f"{row['recipe']}: {row['paper']}.")


def recipe_run(
    options: Annotated[RecipeOptions, arg(name="")],
    store: str = "runs",
    out: str = "results",
    device: str = "auto",
    workers: int = 0,
) -> None:
    """Trains every method with a paper's recipe; a table, and the published figures beside it.

    Args:
        options: Which recipe, and what of it.
        store: Folder of runs; what is there is not trained again.
        out: The table, in the form of data/peers/rows.csv, or a folder where it gets the setting's
            name. Rows of other networks that stand in it stay.
        device: Device: auto, cuda, cuda:1, mps or cpu.
        workers: Runs side by side, up to 1024; 0 chooses by cores, and one on a GPU.
    """
    study("recipe", options, store, out, device, workers)


def recipe_page(out: str = "docs/recipes.md") -> None:
    """Writes the page about the recipes.

    Args:
        out: The page, Markdown.
    """
    page("recipe", out)
