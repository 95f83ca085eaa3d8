# %% [markdown]
# # 10. When does it help?
#
# *Twenty minutes of reading; from stored runs and two short ones, so that it runs in under 30 seconds.*
#
# **Goals.** See on a map of 72 ways to train where self-distillation gains over cross-entropy, where it
# does nothing and where it hurts; know the regimes behind that; build defaults that do no harm.
#
# **Predict first:** training is stopped after five epochs, long before the network fits its data. Do
# soft targets help there, or hurt? And after sixty epochs with wrong labels?

# %%
import pandas as pd
from toastlab import plots
from toastlab.studies.arms import ARMS
from toastlab.studies.catalogue import STUDIES
from toastlab.analysis.statistics import BASELINE
from toastlab.studies.regime import AXES, MEASURES, METHODS, SEEDS, cells, gains, summary

table = STUDIES["regime"].load()
print(f"{len(cells())} cells x {len(METHODS)} methods x {len(SEEDS)} seeds = {len(table)} runs")
for name, values in AXES.items():
    print(f"{name:11s}", *(f"{v:g}" for v in values))

# %% [markdown]
# Each cell is one way to train the teaching MLP: how many images, how many wrong labels, how long, with
# or without augmentation (crop, flip, Cutout). Every method runs in every cell with the same seeds, at
# equal new samples and with the defaults of its source (`toastlab study run regime`).
#
# ## TOAST without its ramp on the map
#
# TOAST's weights grow with what the network has learnt (notebook 5). Without that, at constant weights:
#
# A cell is grey where zero lies inside the 95 % interval over three seeds. That is a wide interval: grey
# means *nothing to say*, not *no difference*.


# %%
def show(method):
    found = {measure: gains(table, method, measure) for measure in MEASURES}
    print(plots.describe_regime_view(found, method))
    return plots.regime_view(found, method)


BARE = "TOAST no ramp"
show(BARE)

# %% [markdown]
# Read it by regimes: by the epochs, without and with augmentation, 12 cells each.

# %%
bare = {measure: gains(table, BARE, measure).set_index(list(AXES)) for measure in MEASURES}


def regime(measure, epochs, augmented):
    """The 12 cells of every size and noise rate."""
    return bare[measure].xs((epochs, augmented), level=("epochs", "augmented"))


counts = {}
for measure in MEASURES:
    for augmented in (0, 1):
        for epochs in (5, 20, 60):
            part = regime(measure, epochs, augmented)
            better, worse = int((part.low > 0).sum()), int((part.high < 0).sum())
            counts[measure, augmented, epochs] = better, worse
            print(f"{measure}, {'with' if augmented else 'no'} augmentation, {epochs:2d} epochs: "
                  f"better in {better}, worse in {worse} of {len(part)} cells")
long = regime("test_nll", 60, 0).gain
print("NLL gains after 60 epochs without augmentation, images per class by noise rate:")
print(long.unstack("noise_rate").round(2).to_string())

# %% [markdown]
# TEXT A
#
# Why does under-fitting hurt NLL and ECE? The table holds no confidences; train one of those cells:

# %%
from tempfile import TemporaryDirectory

import torch
from toastlab import RunStore
from toastlab.studies.regime import Cell, config_of

sure, right = {}, {}
for method in (BASELINE, BARE):
    with TemporaryDirectory() as folder:
        run = RunStore(folder).get(config_of(Cell(200, 0.2, 5, 0), method, seed=0), device="cpu")
        kept = {k: torch.from_numpy(v) for k, v in run.group("predictions").items()}
    p = kept["test_logits"].softmax(1)
    sure[method] = float(p.amax(1).mean())
    right[method] = float((p.argmax(1) == kept["test_labels"]).float().mean())
    percent = f"{100 * sure[method]:.0f} % sure, right in {100 * right[method]:.0f} %"
    print(f"{method}, trained now: {percent}")
assert sure[BARE] < sure[BASELINE] < right[BASELINE]

# %% [markdown]
# Cross-entropy is less sure than it is right already, and TOAST without its ramp makes it less sure
# still.
#
# **Your prediction:** TEXT B
#
# ## Is that TOAST, or any soft target?

# %%
show("label smoothing")

# %%
show("PS-KD")

# %% [markdown]
# ## All methods at once
#
# In how many of the 72 cells is a method clearly better or worse? Of 72 intervals at 95 % one or two lie
# on the wrong side by luck, so the last column counts those that are worse after Holm's correction over
# the cells.

# %%
every = summary(table)
counts = every.pivot(index="method", columns="measure", values=["better", "worse", "worse_holm"])
counts = counts.reindex(METHODS[1:]).swaplevel(axis=1)[list(MEASURES)]
rest = every[every.method != "TOAST"].set_index(["measure", "method"])
for measure in MEASURES:
    rows, kept = rest.loc[measure].worse, int((rest.loc[measure].worse_holm > 0).sum())
    print(f"{measure}: at least {rows.min()} cells worse ({rows.idxmin()}); after the correction "
          f"{kept} of {len(rows)} methods are worse somewhere")
counts

# %% [markdown]
# TEXT C

# %% [markdown]
# ## Defaults that do no harm
#
# **The ramp is ours, not the source's.** Both weights are zero until the network gets three fifths of its
# training samples right at their last visit, and full from seven tenths on. A network that under-fits
# trains with plain cross-entropy, to the bit. These two numbers were chosen in the race of notebook 11,
# on the validation split of ten other ways to train, and serve all cells and noise rates alike.

# %%
show("TOAST")

# %%
ours = every[every.method == "TOAST"].set_index("measure")
for measure in MEASURES:
    row = ours.loc[measure]
    print(f"{measure}: clearly better than cross-entropy in {row.better} of {len(cells())} cells, clearly "
          f"worse in {row.worse}")
nll = gains(table, "TOAST", "test_nll").set_index(list(AXES)).gain
print(f"the NLL of cross-entropy, to five decimals, in {(nll == 0).sum()} of {len(nll)} cells")
ours[["mean", "better", "worse", "worse_holm", "worst"]].round(3)

# %% [markdown]
# TEXT D
#
# What does the ramp cost where TOAST without it gains most? (These cells are chosen by its own gains,
# which flatters it.)

# %%
best = {}
for measure in MEASURES:
    a, b = gains(table, BARE, measure), gains(table, "TOAST", measure)
    most = a.gain.nlargest(10).index
    best[measure] = a.gain[most].mean(), b.gain[most].mean()
    own, ramp = (
        f"{x:+.3f}" if measure == "test_nll" else f"{100 * x:+.1f} points" for x in best[measure]
    )
    print(f"{measure}: ten best cells without ramp, mean gain {own}; with it in the same cells {ramp}")

# %% [markdown]
# TEXT E
#
# ## Try it
#
# Pick a method and a cell: the maps frame it, the curves below show its course, mean of three seeds.

# %%
from toastlab.widgets import RegimePanel

RegimePanel()

# %% [markdown]
# ## Exercises
#
# **1.** Write `clear(low, high)`: from the ends of intervals [cells], +1 where the gain is clearly
# positive, -1 where clearly negative, 0 where zero lies inside; an end at zero counts as inside.

# %%
from toastlab.course.judge import check, solution


def clear(low, high):
    return ...


check("clear", clear)

# %% [markdown]
# **2.** Write `ramp(right, start)`: the factor on both weights, from the share of training samples got
# right: 0 up to `start`, 1 at 1, a straight line between.


# %%
def ramp(right, start):
    return ...


check("ramp", ramp)

# %% [markdown]
# ## What to doubt
#
# * One small network, one data set. A convolutional network under-fits and over-fits elsewhere.
# * Three seeds: only large differences come out of the grey.
# * Noise is symmetric and validation and test labels are clean.
# * The ramp reads training accuracy. Where it never reaches three fifths nothing happens at all: no harm,
#   and no help either.
# * The methods keep the defaults of their sources; tuned to a cell, each might do better there.
