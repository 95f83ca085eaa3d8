# %% [markdown]
# # 7. What the weights do: an ablation
#
# *Twenty-five minutes of reading; runs in under 40 seconds.*
#
# **Goals.** Take TOAST apart: medoid weight, past weight, the medoid's temperature, who is distilled,
# with and without label noise; read intervals; train a setting of your own, live.
#
# **Predict first:** with a fifth of the labels wrong, which matters more for accuracy: softening the
# targets (stage 1) or distilling under-trained samples (stage 2)? And with clean labels?

# %%
import numpy as np
import pandas as pd
from toastlab import plots
from toastlab.analysis.statistics import interval
from toastlab.studies.ablation import AXES, MORE_SEEDS, SEEDS, look_up, points
from toastlab.studies.catalogue import STUDIES

table = STUDIES["ablation"].load()
print(f"{len(points())} settings, {len(SEEDS)} seeds each, and {len(MORE_SEEDS)} in the plane of the "
      f"weights at the default temperature: {len(table)} stored runs")
for name, values in AXES.items():
    print(f"{name:19s}", *values)

# %% [markdown]
# Each row is a real run of a small network on 2,000 images over 30 epochs, made by `toastlab study run ablation`
# and checked against the settings of this very code. Where a weight is 0, the temperature behind it
# has no effect, and the setting is stored once.
#
# ## One question at a time
#
# A fifth of the labels is wrong. Each dot is a mean over ten seeds, with its 95 % interval. The plane
# has both weights: stage 1 grows upwards, stage 2 to the right.

# %%
base = {
    "noise_rate": 0.2,
    "medoid_weight": 0.3,
    "past_weight": 1.0,
    "medoid_temperature": 0.5,
    "random_carry": False,
}


def view(point, measure="test_top1"):
    parts = {
        "this setting": point,
        "stage 1 alone": {**point, "past_weight": 0.0},
        "stage 2 alone": {**point, "medoid_weight": 0.0},
        "cross-entropy": {**point, "medoid_weight": 0.0, "past_weight": 0.0},
    }
    bars = {name: look_up(table, at, measure) for name, at in parts.items()}
    plane = {
        (a, b): look_up(table, {**point, "medoid_weight": a, "past_weight": b}, measure)[0]
        for a in AXES["medoid_weight"]
        for b in AXES["past_weight"]
    }
    grid = pd.Series(plane).unstack()
    print(plots.describe_ablation_view(bars, measure))
    return plots.ablation_view(bars, grid, (point["medoid_weight"], point["past_weight"]), measure)


view(base)

# %% [markdown]
# Without noise:

# %%
view({**base, "noise_rate": 0.0})

# %%
for rate in (0.2, 0.0):
    point = {**base, "noise_rate": rate}
    off = {"stage 1": {"past_weight": 0.0}, "stage 2": {"medoid_weight": 0.0}}
    off["cross-entropy"] = off["stage 1"] | off["stage 2"]
    alone = {name: 100 * np.array(look_up(table, {**point, **zero}, "test_top1")[3])  # by seed
             for name, zero in off.items()}
    ahead = []
    for a, b in (("stage 1", "cross-entropy"), ("stage 2", "cross-entropy"), ("stage 1", "stage 2")):
        mean, low, high = interval(list(alone[a] - alone[b]))
        ahead.append(low > 0)
        print(f"noise {rate:g}: {a} alone minus {b} {mean:+.1f} [{low:+.1f}, {high:+.1f}]")
    assert ahead == [True, False, rate > 0]

# %% [markdown]
# **Your prediction:** with wrong labels softening matters more. Stage 1 alone gains 5.0 points over
# cross-entropy, and 2.7 over stage 2 alone. With clean labels it gains 0.8. What stage 2 alone gains
# over cross-entropy is within seed noise in both: its intervals contain zero.
#
# Calibration is another matter: stage 1 raises the ECE, stage 2 alone lowers it. (Yellow is the larger
# number: the better accuracy above, the worse calibration here.)

# %%
view(base, "test_ece")

# %% [markdown]
# ## Paired differences
#
# Runs of the same seed share initial weights and data, so differences are taken seed by seed. Over
# the whole grid: what does each choice change, all else equal? (A mean over settings describes
# *this grid*; it is no interval for a new setting.)


# %%
def change(axis, low, high, rate, measure="test_top1"):
    rest = [a for a in AXES if a != axis] + ["seed"]
    part = table[table.noise_rate == rate]
    part = part[part.seed.isin(SEEDS)]
    if axis in ("medoid_temperature", "random_carry"):
        switch = "medoid_weight" if axis == "medoid_temperature" else "past_weight"
        part = part[part[switch] > 0]
    if axis in ("medoid_weight", "past_weight") and low == 0:
        # what is switched off has no temperature of its own: compare with the one run there is
        own = ["medoid_temperature"] if axis == "medoid_weight" else ["random_carry"]
        rest = [a for a in rest if a not in own]
    a = part[part[axis] == low].groupby(rest)[measure].mean()
    b = part[part[axis] == high].groupby(rest)[measure].mean()
    return (b - a).dropna().groupby("seed").mean()


choices = [
    ("medoid_weight", 0.0, 0.3),
    ("medoid_weight", 0.3, 0.7),
    ("past_weight", 0.0, 0.4),
    ("past_weight", 0.4, 1.0),
    ("medoid_temperature", 0.5, 2.0),
    ("random_carry", True, False),
]
print("top-1 points, mean over the grid, [95 % interval over 3 seeds]")
for axis, low, high in choices:
    line = f"{axis:19s}{low!s:>7} -> {high!s:14s}"
    for rate in (0.0, 0.2):
        mean, lo, hi = interval(list(100 * change(axis, low, high, rate)))
        line += f"  noise {rate:g}: {mean:+.1f} [{lo:+.1f}, {hi:+.1f}]"
    print(line)

# %% [markdown]
# Read the last line: *random* carries as many samples as the network gets wrong, drawn without looking.
# If targeting the misclassified samples helped in this setting, the line would be above zero. It is
# not: with wrong labels it is clearly below, because the carry then repeats what should not be
# learnt (notebook 4). Whether other criteria, data or the paper's own choice do better is open.
#
# ## Try it
#
# The sliders answer from the stored runs and snap to what was run. *Train this setting* trains it in
# front of you, in the store `../runs`; *Stop* ends it before its next step, and the run goes on from
# its last whole epoch when asked again.

# %%
from toastlab.widgets import AblationPanel

AblationPanel("../runs")

# %% [markdown]
# ## Exercises
#
# **1.** Write `paired_interval(a, b, t)`: from the top-1 of two methods over the same seeds [S] each
# and the t quantile for S - 1 degrees of freedom, mean, low and high of the 95 % interval of b - a,
# as a tensor [3].

# %%
from toastlab.course.judge import check, solution


def paired_interval(a, b, t):
    return ...


check("paired_interval", paired_interval)

# %% [markdown]
# **2.** Choosing the best of many settings by the test set flatters it. Write `chosen(val, test)`:
# from validation and test accuracies [settings], the test accuracy of the setting that is best on
# validation.


# %%
def chosen(val, test):
    return ...


check("chosen", chosen)

# %% [markdown]
# How much would it flatter here?

# %%
gaps = {}
for rate in (0.2, 0.0):
    means = table[table.noise_rate == rate].groupby(list(AXES)[1:])[["val_top1", "test_top1"]].mean()
    honest, best = means.test_top1.iloc[int(means.val_top1.argmax())], means.test_top1.max()
    gaps[rate] = 100 * (best - honest)
    print(f"noise {rate:g}: chosen on validation {100 * honest:.1f}, best on test {100 * best:.1f}, "
          f"flattered by {gaps[rate]:.1f}")
assert gaps[0.2] == 0 and gaps[0.0] > 0.5

# %% [markdown]
# With wrong labels not at all: one setting is best on both. With clean labels by 0.6 points, more than
# any one choice above changes there.
#
# ## What to doubt
#
# * One data set, one small network, symmetric noise, three seeds, 30 epochs. The paper's settings
#   (larger networks, clean CIFAR) are elsewhere.
# * 63 settings a noise rate: the largest of so many is large by luck as well.
# * The weights' scale is ours **[R]**: the source says "combined linearly" **[S]** and no more.
