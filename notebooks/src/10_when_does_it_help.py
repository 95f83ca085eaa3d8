# %% [markdown]
# # 10. When does it help?
#
# *Twenty minutes of reading; from stored runs, so that it runs in under 20 seconds.*
#
# **Goals.** See on a map of 72 ways to train where self-distillation gains over cross-entropy, where it
# does nothing and where it hurts; know the regimes behind that; build defaults that do no harm.
#
# **Predict first:** training is stopped after five epochs, long before the network fits its data. Do
# soft targets help there, or hurt? And after sixty epochs with wrong labels?

# %%
import pandas as pd
from toastlab import plots
from toastlab.compare import ARMS, BASELINE, CAREFUL
from toastlab.regime import AXES, MEASURES, METHODS, SEEDS, cells, gains, load_regime, summary

table = load_regime()
print(f"{len(cells())} cells x {len(METHODS)} methods x {len(SEEDS)} seeds = {len(table)} runs")
for name, values in AXES.items():
    print(f"{name:11s}", *(f"{v:g}" for v in values))

# %% [markdown]
# Each cell is one way to train the teaching MLP: how many images, how many wrong labels, how long, with
# or without augmentation (crop, flip, Cutout). Every method runs in every cell with the same seeds, at
# equal images through the network and with the defaults of its source (`toastlab regime`).
#
# ## TOAST on the map
#
# A cell is grey where zero lies inside the 95 % interval over three seeds. That is a wide interval: grey
# means *nothing to say*, not *no difference*.


# %%
def show(method):
    found = {measure: gains(table, method, measure) for measure in MEASURES}
    print(plots.describe_regime_view(found, method))
    return plots.regime_view(found, method)


show("TOAST")

# %% [markdown]
# Read it by regimes.
#
# * **Few epochs:** the network under-fits. It is less confident than it is right, and soft targets tell
#   it to be less confident still: NLL and ECE get worse, whatever top-1 does.
# * **Many epochs, few images, wrong labels:** the network learns its labels by heart. There soft targets
#   and past predictions hold it back, and everything gets better.
# * **Augmentation** moves a cell towards under-fitting.
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
worst = every[every.method != CAREFUL].set_index(["measure", "method"]).worse
for measure in MEASURES:
    rows = worst[measure]
    print(f"{measure}: every published method loses somewhere: {bool((rows > 0).all())}")
counts

# %% [markdown]
# ## Defaults that do no harm
#
# **These are ours, not the source's.** From the map, three changes to our reading of TOAST:
#
# 1. **Wait.** Both weights are zero until the network gets four fifths of its training samples right at
#    their last visit, and grow to their full value as that share goes to one. Who under-fits trains with
#    plain cross-entropy, to the bit.
# 2. **Do not change what is drawn.** The default carry puts misclassified samples into the next batch in
#    place of new ones; with wrong labels it repeats the wrong ones. Here every sample is held to its own
#    last prediction whenever it comes up anyway (half of each batch, as in the source).
# 3. **Medoids as confident as they are:** temperature 1.

# %%
print(ARMS[CAREFUL])
show(CAREFUL)

# %%
ours = every[every.method == CAREFUL].set_index("measure")
for measure in MEASURES:
    row = ours.loc[measure]
    print(f"{measure}: clearly worse than cross-entropy in {row.worse} of {len(cells())} cells")
ours[["mean", "better", "worse", "worse_holm", "worst"]].round(3)

# %% [markdown]
# Choosing rules on a map and praising them on the same map is circular. They were found on a third of
# the cells (the smallest and largest sets, the shortest and longest runs, 24 cells) and then run on all
# of them once. Here is what they do on the 48 cells that had no say:

# %%
seen = (
    table.per_class.isin([25, 200]) & table.epochs.isin([5, 60])
)  # every noise rate, with and without augmentation
rest = summary(table[~seen], [CAREFUL]).set_index("measure")
print(f"cells without a say: {len(table[~seen].drop_duplicates(list(AXES)))}")
rest[["mean", "better", "worse", "worse_holm", "worst"]].round(3)

# %% [markdown]
# What caution costs: where TOAST gains most, the careful defaults gain less.

# %%
for measure in MEASURES:
    a, b = gains(table, "TOAST", measure), gains(table, CAREFUL, measure)
    most = a.gain.nlargest(10).index
    print(f"{measure}: TOAST's ten best cells, mean gain {a.gain[most].mean():+.3f}; "
          f"careful in the same cells {b.gain[most].mean():+.3f}")

# %% [markdown]
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
# positive, -1 where clearly negative, 0 where zero lies inside.

# %%
from toastlab.checks import check, solution


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
# * The careful rule reads training accuracy. With 40 % wrong labels and augmentation it never reaches four
#   fifths, so nothing happens at all: no harm, and no help either.
# * The methods keep the defaults of their sources; tuned to a cell, each would do better there.
