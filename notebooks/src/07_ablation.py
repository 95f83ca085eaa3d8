# %% [markdown]
# # 7. Take TOAST apart: which part does the work?
#
# *Twenty-five minutes of reading, half an hour of exercises; runs in under 30 seconds.*
#
# **Goals.** Find out which of TOAST's parts gains what, with wrong labels and without. Read differences of
# paired runs and their intervals. See how much of a winner's lead is luck. Train a setting of your own, live.
#
# TOAST has two weights. **a** belongs to stage 1: hard targets are softened with class medoids [S]. **b**
# belongs to stage 2: under-trained samples are distilled from past predictions [S]. An *ablation* switches off
# one part at a time and trains again. These runs are of a small network on 2,000 images, for 30 epochs.

# %%
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from toastlab import ToastConfig, plots
from toastlab.analysis.statistics import interval
from toastlab.course import Prediction, check, discuss, hint, solution
from toastlab.plots.style import new_figure, style
from toastlab.studies.ablation import AXES, SEEDS, look_up, points
from toastlab.studies.catalogue import STUDIES
from toastlab.widgets import AblationPanel

table, default = STUDIES["ablation"].load(), ToastConfig()
both = {name: getattr(default, name) for name in AXES if name != "noise_rate"}
only_1, only_2 = both | {"past_weight": 0.0}, both | {"medoid_weight": 0.0}
neither = only_1 | only_2 | {"medoid_weight": 0.0, "past_weight": 0.0}  # cross-entropy

def by_seed(setting, noise=0.2, measure="test_top1", seeds=10):
    """A measure of a setting's runs in percent, one value a seed; a fifth of the labels is wrong."""
    return 100 * np.array(look_up(table, setting | {"noise_rate": noise}, measure)[3][:seeds])

plain, toast = by_seed(neither), by_seed(both)
print(f"{len(table)} runs of {len(points())} settings; here TOAST has a = {default.medoid_weight:g}, "
      f"b = {default.past_weight:g}")
assert (toast > plain).sum() >= 8 and interval(toast - plain)[1] > 0
plots.pairs_view(plain, toast, ("cross-entropy", "TOAST"))

# %% [markdown]
# A fifth of the training labels is wrong. Two runs of the same seed are a *pair*: they begin with the same
# weights and see the same images in the same order, until TOAST carries the first sample. So we take
# differences within pairs, and then their mean.
#
# **Predict first:** TOAST is ahead. Thanks to which part?

# %%
which = Prediction(
    "One of these makes nearly all of the gain. Which?",
    a="stage 1, the soft targets",
    b="stage 2, distilling the under-trained samples",
    c="both together: neither of them gains anything alone",
)
which.choose(...)

# %% [markdown]
# ## One stage at a time
#
# Each mark is the mean difference to cross-entropy over ten pairs, and each line its 95 % interval.

# %%
def gains(noise=0.2, measure="test_top1"):
    """Mean difference to cross-entropy, with its interval, of TOAST and of each stage alone."""
    settings = {"both stages": both, "stage 2 alone": only_2, "stage 1 alone": only_1}
    base = by_seed(neither, noise, measure)
    return {name: interval(by_seed(of, noise, measure) - base) for name, of in settings.items()}

noisy = gains()
first, second = noisy["stage 1 alone"], noisy["stage 2 alone"]
more, low, high = interval(by_seed(both) - by_seed(only_2))
print(f"stage 1 on top of stage 2: {more:+.1f} [{low:+.1f}, {high:+.1f}] points")
assert second[1] > 0 and second[0] > first[0] + 0.5 and low < 0 < high
title = f"Stage 2 alone gains {second[0]:+.1f} points, stage 1 alone {first[0]:+.1f}"
display(plots.gains_view({"a fifth of the labels is wrong": noisy}, title, "difference in top-1 (points)"))
which.answer("b")

# %% [markdown]
# **Your prediction:** stage 2. Added to it, stage 1 changes nothing that these runs can show. The interval
# contains zero: the difference may be luck. It does not say that there is none.
#
# Why does stage 1 do so little? By then a class medoid is nearly sure of its class (notebook 5), so that the
# soft target is nearly the label. The *entropy* of a target says how soft it is.

# %%
for temperature in AXES["medoid_temperature"]:
    softer = only_1 | {"medoid_temperature": temperature}
    entropy = by_seed(softer, measure="target_entropy", seeds=3).mean() / np.log(10)
    mean, low, high = interval(by_seed(softer, seeds=3) - by_seed(neither, seeds=3))
    print(f"medoids at temperature {temperature:g}: targets have {entropy:.1f} % of the largest entropy, and "
          f"stage 1 alone gains {mean:+.1f} [{low:+.1f}, {high:+.1f}] points")

# %% [markdown]
# ## The plane of both weights
#
# Now every combination of six values of a and of b. Going right, stage 2 grows; going up, stage 1. The frame is
# our default.

# %%
clean_too = Prediction(
    "And if all labels are right: what does a larger past weight b do to accuracy?",
    a="it gains as much as with wrong labels",
    b="it gains little or nothing",
    c="it costs more than it gains with wrong labels",
)
clean_too.choose(...)

# %%
def plane(noise, measure="test_top1", sign=1):
    """Gain over cross-entropy in each cell; rows are values of a, columns of b."""
    cells = {}
    for a in AXES["medoid_weight"]:
        for b in AXES["past_weight"]:
            here = both | {"medoid_weight": a, "past_weight": b}
            gap = by_seed(here, noise, measure) - by_seed(neither, noise, measure)
            cells[a, b] = sign * gap.mean()
    return pd.Series(cells).unstack()

planes = {"a fifth of the labels is wrong": plane(0.2), "all labels are right": plane(0.0)}
wrong, right = planes.values()
d = wrong.to_numpy() - wrong.to_numpy().mean()
rows, columns = (100 * (d.mean(axis) ** 2).mean() / (d**2).mean() for axis in (1, 0))
print(f"wrong labels: of what the cells differ by, columns make {columns:.0f} %, rows {rows:.0f} %")
most = AXES["past_weight"][-1]
print(f"b = {most:g}, mean of its column: wrong labels {wrong[most].mean():+.1f} points, right labels "
      f"{right[most].mean():+.1f}")
assert columns > 2 * rows and abs(right[most].mean()) < wrong[most].mean() / 2
framed = (default.medoid_weight, default.past_weight)
title = f"What differs are columns: b = {most:g} gains {wrong[most].mean():+.1f} points where labels are wrong"
display(plots.planes_view(planes, title, framed))
clean_too.answer("b")

# %% [markdown]
# With right labels there is little to gain: stage 2 is a brake (notebook 5), and nothing wrong is learnt
# that it could stop.
#
# ## Calibration
#
# Accuracy is not all. The **ECE** says how far a network's confidence lies from its accuracy, in points. Blue
# is better here, too.

# %%
planes = {name: plane(noise, "test_ece", -1) for name, noise in zip(planes, (0.2, 0.0))}
wrong, right = planes.values()
a, b = framed
title = (f"Calibration: the default gains {wrong.at[a, b]:+.1f} points with wrong labels, "
         f"{right.at[a, b]:+.1f} with right ones")
assert right.at[a, b] > 1
plots.planes_view(planes, title, framed)

# %% [markdown]
# ## Is it *who* is carried?
#
# Stage 2 also changes which samples a network sees: carried ones come twice. As a control, as many samples are
# carried, but drawn by lot. These differences are means over all settings with stage 2, in three seeds. They
# describe *this grid*, and are no interval for a new setting.

# %%
def carried(noise):
    """Differences in top-1, seed by seed, over all settings with stage 2."""
    part = table[(table.noise_rate == noise) & (table.past_weight > 0) & table.seed.isin(SEEDS)]
    top1 = 100 * part.groupby(["random_carry", "seed"]).test_top1.mean()
    start = by_seed(neither, noise, seeds=3)
    chosen, lot = top1[False].to_numpy(), top1[True].to_numpy()
    return {"the misclassified": interval(chosen - start), "by lot": interval(lot - start),
            "misclassified minus by lot": interval(chosen - lot)}

who = {name: carried(noise) for name, noise in zip(planes, (0.2, 0.0))}
target, lot, gap = next(iter(who.values())).values()
assert gap[1] > 0
title = f"Carrying the misclassified gains {target[0]:+.1f} points, carrying by lot {lot[0]:+.1f}"
plots.gains_view(who, title, "difference in top-1 (points)")

# %% [markdown]
# With wrong labels it does matter who is carried. Part of the gain comes by lot, too: distilling anybody from
# past predictions slows learning by heart.
#
# ## The luck of the winner
#
# A usual mistake: try many settings with a few seeds, and report the best. We take three of the ten seeds,
# choose the best cell of the plane by them, and look at its lead over our default in the seven other seeds.

# %%
lead = Prediction(
    "How large is that lead in the seven other seeds, on average over all choices of three?",
    a="as large as in the three seeds that chose",
    b="half as large, or less",
    c="larger",
)
lead.choose(...)

# %%
cells = np.array([by_seed(both | {"medoid_weight": a, "past_weight": b})
                  for a in AXES["medoid_weight"] for b in AXES["past_weight"]])  # [cells, seeds]
ahead = cells - by_seed(both)
shown, kept = [], []
for three in map(list, combinations(range(10), 3)):
    others = [seed for seed in range(10) if seed not in three]
    best = cells[:, three].mean(1).argmax()
    shown.append(ahead[best][three].mean())
    kept.append(ahead[best][others].mean())
before, after = np.mean(shown), np.mean(kept)
title = f"The winner leads by {before:+.1f} points where it was chosen, by {after:+.1f} in other seeds"
with style():
    figure = new_figure(8.2, 2.3)
    axis = figure.subplots()
    axis.hist([shown, kept], 24, label=["the seeds that chose", "the seven others"])
    axis.set(xlabel="lead over the default in top-1 (points)", ylabel="choices of three", title=title)
    figure.legend(loc="outside right center")
figure.alt = f"{title}. Histograms of these leads over the {len(kept)} choices of three of ten seeds."
assert after < before / 2
display(figure)
lead.answer("b")

# %% [markdown]
# The largest of many numbers is large by luck as well. Choose on validation, with seeds of its own, and report
# what you chose on others.
#
# ## Try it
#
# The sliders answer from the stored runs and snap to what was run. *Train this setting* trains it in front of
# you, in the store `../runs`. *Stop* ends it before its next step; asked again, it goes on from its last
# whole epoch. Can you find a setting that is better than the default in all four measures?

# %%
AblationPanel("../runs")

# %% [markdown]
# ## Exercises
#
# **1.** Choosing the best of many settings by the test set flatters it. Write `chosen(val, test)`: from
# validation and test accuracies [settings], the test accuracy of the setting that is best on validation.

# %%
def chosen(val, test):
    return ...

check("chosen", chosen)

# %% [markdown]
# **2.** Write `paired_interval(a, b, t)`: the top-1 of two methods over the same seeds, [S] each, and the t
# quantile for S - 1 degrees of freedom. Give back mean, low and high of the 95 % interval of b - a as a
# tensor [3].

# %%
def paired_interval(a, b, t):
    return ...

check("paired_interval", paired_interval)

# %% [markdown]
# **3.** How many seeds are enough? Write `seeds_for(d, half)`: from the differences [S] of a few pairs, the
# smallest number of seeds with which `1.96` standard errors are at most `half`.

# %%
def seeds_for(d, half):
    return ...

check("seeds_for", seeds_for)

# %% [markdown]
# **4.** Write `explained(plane)`: of the sum of squares by which the cells of a plane [A, B] differ from their
# mean, two shares, [2]. The first lies between the means of rows, the second between those of columns.

# %%
def explained(plane):
    return ...

check("explained", explained)

# %% [markdown]
# **5.** "Stage 1 adds nothing, so soft targets from medoids are useless." What do these runs show, and what
# would you train before you said so?

# %%
mine = """
"""
discuss("adds_nothing", mine)

# %% [markdown]
# ## What to doubt
#
# * One data set, one small network, one kind of wrong labels, 30 epochs. Larger networks and the paper's own
#   settings are elsewhere; notebooks 9 and 10 have more ways to train.
# * The test images are the same in all runs. An interval over seeds says nothing of other images.
# * Ten seeds are few, three fewer: with three, an interval is more than twice as wide as four standard errors.
# * The scale of the weights is ours **[R]**: the source says "linearly combined" **[S]**, and no more. Another
#   reading of what a carried sample is taught gives other planes (notebook 11).
