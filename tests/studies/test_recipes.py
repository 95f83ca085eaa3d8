"""The recipes: what the papers say, published figures, shortened runs on stand-ins for the data."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest
import torch
import torchvision.datasets as tv
from torch import nn

from tests.helpers import tiny, write_cifar, write_tiny_imagenet
from toastlab.core.errors import DataError
from toastlab.data.dataset import DataConfig
from toastlab.store.names import from_json, to_json
from toastlab.studies.arms import ARMS, plan
from toastlab.studies.catalogue import FAMILIES, STUDIES, RecipeData, RecipeName, RecipeOptions
from toastlab.studies.recipe_table import beside, entries, overview, page
from toastlab.studies.recipes import RECIPES, Recipe
from toastlab.studies.rows import Entry, rows_of
from toastlab.studies.runner import run_all
from toastlab.training.config import TrainConfig, make_optimizer, make_schedule
from toastlab.training.loop import train
from toastlab.training.names import MODELS

ROOT = Path(__file__).parents[2]
DATA = get_args(RecipeData)
# epoch, from 0 -> learning rate, as the papers and their code have it
RATES = {
    "ps-kd-300": {0: 0.1, 149: 0.1, 150: 0.01, 224: 0.01, 225: 0.001, 299: 0.001},
    "cs-kd-200": {0: 0.1, 99: 0.1, 100: 0.01, 149: 0.01, 150: 0.001, 199: 0.001},
    "bake-200": {0: 0.1, 99: 0.1, 100: 0.01, 149: 0.01, 150: 0.001, 199: 0.001},
    "tf-kd-200": {1: 0.1, 59: 0.1, 60: 0.02, 119: 0.02, 120: 0.004, 160: 0.0008, 199: 0.0008},
    "dlb-240": {0: 0.05, 149: 0.05, 150: 5e-3, 179: 5e-3, 180: 5e-4, 210: 5e-5, 239: 5e-5},
    "self-kd-lib-200": {5: 0.1, 104: 0.1, 105: 0.01, 154: 0.01, 155: 0.001, 199: 0.001},
}
every = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())


def rate(config: TrainConfig, step: int, steps: int) -> float:
    optimizer = make_optimizer(config, nn.Linear(1, 1))
    factor = make_schedule(config, optimizer, steps).lr_lambdas[0]  # type: ignore[attr-defined]
    return config.learning_rate * float(factor(step))


@every
@pytest.mark.parametrize("data", DATA)
def test_every_recipe_makes_runs_for_both_data_sets(recipe: Recipe, data: str) -> None:
    base = recipe.config("resnet18", DataConfig(name=data))
    assert from_json(to_json(base)) == base
    found = entries(recipe, base, list(ARMS), 2, ("samples", "images"))
    assert len(found) == 2 * 2 * len(ARMS)
    assert {entry.job.setting for entry in found} == {f"{recipe.name}: {data}"}
    for job in (entry.job for entry in found):
        assert (job.config.augment.crop, job.config.augment.flip) == (4, True)
        assert (job.config.epochs, job.config.batch_size) == (recipe.epochs, recipe.batch_size)
        assert job.config.weight_decay == recipe.weight_decay


@every
@pytest.mark.parametrize("steps", [7, 390])
def test_the_rate_falls_where_the_paper_has_it(recipe: Recipe, steps: int) -> None:
    config = recipe.config("resnet18", DataConfig(name="cifar100"))
    for epoch, wanted in RATES[recipe.name].items():
        for step in (epoch * steps, (epoch + 1) * steps - 1):
            assert rate(config, step, steps) == pytest.approx(wanted), (epoch, step)


@every
def test_a_shortened_recipe_keeps_its_shape(recipe: Recipe) -> None:
    whole = recipe.config("resnet18", DataConfig(name="cifar100"))
    tenth = recipe.config("resnet18", DataConfig(name="cifar100"), epochs=recipe.epochs // 10)
    for epoch in range(0, recipe.epochs, 10):
        for step in (epoch * 10, epoch * 10 + 99):
            # the warm-up rises in fewer steps, so only its end is the same
            if step > 10 * recipe.warmup_epochs + 10:
                assert rate(tenth, step, 100) == rate(whole, step, 10), step


def test_nesterov_as_the_recipe_has_it() -> None:
    for recipe in RECIPES.values():
        optimizer = make_optimizer(recipe.config("mlp", DataConfig()), nn.Linear(1, 1))
        assert optimizer.defaults["nesterov"] == recipe.nesterov
        assert optimizer.defaults["momentum"] == 0.9


@every
def test_published_figures_are_of_methods_and_networks_known_here(recipe: Recipe) -> None:
    keys = [(p.data, p.model, p.method, p.metric) for p in recipe.published]
    assert len(set(keys)) == len(keys)
    assert bool(recipe.source) == bool(recipe.published)
    for p in recipe.published:
        assert p.model in FAMILIES
        assert p.method in ARMS
        assert p.data in DATA
        top1 = (68, 85) if p.data == "cifar100" else (50, 70)
        low, high = {"top-1": top1, "ECE": (0, 20)}[p.metric]
        assert low < p.value < high


def test_the_page_is_the_code_s() -> None:
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert text == page(), "make it again: toastlab study page recipe"
    assert "Not yet run on a GPU" in text


def test_names_and_overview() -> None:
    assert tuple(RECIPES) == get_args(RecipeName)
    rows = overview().set_index("recipe")
    for recipe in RECIPES.values():
        assert rows.paper[recipe.name] == recipe.paper
    assert "150, 180, 210" in rows.falls["dlb-240"]


def one_step(model: str, arm: str) -> None:
    size = max(8, MODELS[model][1])
    recipe = RECIPES["cs-kd-200"]
    base = recipe.config(model, DataConfig(name="cifar100"), epochs=1, batch_size=8)
    config = replace(base, method=ARMS[arm])
    data = tiny(8, 2, size, channels=3)
    result = train(config, dataset=data, device="cpu")
    assert result is not None
    assert torch.isfinite(torch.from_numpy(result.predictions["test_logits"])).all()


@pytest.mark.parametrize("arm", ARMS)
def test_every_method_takes_a_step(arm: str) -> None:
    one_step("resnet18", arm)


# BYOT reads inside the network and BAKE before its head; the others see logits only
@pytest.mark.parametrize("arm", ["BYOT", "BAKE"])
@pytest.mark.parametrize("model", FAMILIES[1:])
def test_every_family_takes_a_step(model: str, arm: str) -> None:
    one_step(model, arm)


def short(folder: Path, options: RecipeOptions, out: Path | str = "") -> str:
    """Runs a recipe, and returns what is shown of it."""
    study = STUDIES["recipe"]
    list(study.run(options, folder / "runs", out, device="cpu", workers=1))
    shown = study.results(options, out)
    return "\n".join(x if isinstance(x, str) else f"{x[0]}\n{x[1].to_string()}" for x in shown)


def shortened(recipe: RecipeName, **options: Any) -> RecipeOptions:
    few = {"models": ("resnet18",), "seeds": 2, "epochs": 1, "batch_size": 8, "val_share": 0.25}
    return RecipeOptions(recipe, **{**few, **options})


def test_a_shortened_run_in_cifar100_s_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar(tv.CIFAR100, tmp_path / "data", monkeypatch, k=4, per_class=6)
    options = shortened(
        "ps-kd-300",
        path=str(tmp_path / "data"),
        methods=("ps-kd", "cs-kd"),
        budgets=("samples", "images"),
    )
    out = short(tmp_path, options)
    name = "ps-kd-300-cifar100-shortened-to-1-of-300-epochs-batch-8.csv"
    table = pd.read_csv(tmp_path / "results" / name)
    assert list(table) == peers_columns(tmp_path / "other")
    assert set(table.setting) == {"ps-kd-300: cifar100, shortened to 1 of 300 epochs, batch 8"}
    count = table.groupby(["budget", "method"]).size()
    assert (count == 2).all()
    assert len(count) == 2 * 3
    same = table[table.method == "PS-KD"].groupby("seed").run.nunique()
    assert (same == 1).all(), "one run serves both budgets"
    assert (table[table.method == "CS-KD"].groupby("seed").run.nunique() == 2).all()
    for text in ("78.70", "PreAct ResNet-18", "10 bins", "ICCV 2021", "come from other code"):
        assert text in out, text
    assert "say nothing about the published figures" in out
    mean = 100 * table[(table.method == "PS-KD") & (table.budget == "images")].test_top1.mean()
    assert f"{mean:.2f} ±" in out

    monkeypatch.setattr("toastlab.store.runs.train", None)  # to train again would be an error
    before = (tmp_path / "results" / name).read_bytes()
    assert short(tmp_path, options) == out
    assert (tmp_path / "results" / name).read_bytes() == before

    with pytest.raises(DataError, match="recipes never share a table"):
        short(tmp_path, shortened("dlb-240"), Path("results") / name)


def peers_columns(store: Path) -> list[object]:
    """The columns that data/peers/rows.csv has for these methods."""
    base = TrainConfig(data=DataConfig(name="digits"), epochs=1, record="none")
    every = plan(["cross-entropy", "PS-KD", "CS-KD"], 1, base)
    done = dict(run_all(every, store, device="cpu", workers=1))
    return list(rows_of("mlp", [Entry("defaults", "images", job) for job in every], done))


def test_a_shortened_run_in_tiny_imagenet_s_layout(tmp_path: Path) -> None:
    write_tiny_imagenet(tmp_path / "data", per_class=12)
    file = tmp_path / "table.csv"
    options = shortened(
        "dlb-240",
        data="tiny-imagenet",
        path=str(tmp_path / "data"),
        methods=("dlb", "toast"),
        size=16,
    )
    out = short(tmp_path, options, file)
    table = pd.read_csv(file)
    assert set(table.setting) == {
        "dlb-240: tiny-imagenet, 16 x 16 pixels, shortened to 1 of 240 epochs, batch 8"
    }
    assert table.groupby("method").size().to_dict() == {"cross-entropy": 2, "DLB": 2, "TOAST": 2}
    assert set(table.budget) == {"samples"}
    assert "No published figures are noted" in out
    short(tmp_path, replace(options, models=("resnet-small",)), file)
    assert set(pd.read_csv(file).model) == {"resnet18", "resnet-small"}, "rows of others stay"


def test_beside_knows_whose_figures_they_are() -> None:
    recipe = RECIPES["ps-kd-300"]
    rows = [
        {
            "setting": f"ps-kd-300: {data}",
            "model": model,
            "budget": "samples",
            "method": "CS-KD",
            "test_top1": 0.787,
            "test_ece": 0.062,
        }
        for data, model in (("cifar100", "resnet18"), ("cifar100", "vgg16-bn"))
    ]
    ours = beside(recipe, pd.DataFrame(rows))
    assert ours["published top-1 %"].tolist() == ["78.70", ""]
    assert ours["published ECE %"].tolist() == ["6.24", ""]
    assert ours["top-1 %"].tolist() == ["78.70", "78.70"]
    tiny_rows = pd.DataFrame(rows).assign(setting="ps-kd-300: tiny-imagenet")
    assert not beside(recipe, tiny_rows)["published top-1 %"].any()
    bake = tiny_rows.assign(setting="bake-200: tiny-imagenet", method="BAKE")
    assert beside(RECIPES["bake-200"], bake)["published top-1 %"].tolist() == ["58.29", ""]


def test_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Did you mean 'dlb-240'"):
        shortened("dlb-24")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a folder"):
        short(tmp_path, shortened("dlb-240", data="tiny-imagenet"))
    with pytest.raises(ValueError, match="no model is given"):
        shortened("dlb-240", models=())
    study = STUDIES["recipe"]
    with pytest.raises(ValueError, match="Did you mean 'resnet18'"):
        study.run(shortened("dlb-240", models=("resnet",)), tmp_path)
    with pytest.raises(ValueError, match=r"epochs is 301, but must lie in \[0, 300\]"):
        study.run(shortened("ps-kd-300", epochs=301), tmp_path)
    with pytest.raises(ValueError, match="size is 1000000"):
        study.run(shortened("ps-kd-300", size=1000000), tmp_path)
