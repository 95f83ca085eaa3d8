# %% [markdown]
# # 10. When does it help? Where plain training has gone on too long
#
# *Twenty minutes of reading; half an hour of exercises; runs in under 30 seconds.*
#
# **Goals.** Read a map of many ways to train: where TOAST gains over cross-entropy, where it does nothing, and
# where it hurts. Find the reason, and test it. Judge a default that waits, by its harm and by its price.
#
# Methods are shown where they work. Here is such a place. *TOAST literal* is our plainest reading **[R]** of the
# abstract: both weights are constant, and a carried sample is distilled only.

# %%
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from toastlab import RunStore, plots
from toastlab.analysis.statistics import BASELINE
from toastlab.course import Prediction, check, discuss, hint, solution
from toastlab.studies.catalogue import STUDIES
from toastlab.studies.regime import (
    AXES, MEASURES, METHODS, SEEDS, Cell, cells, config_of, gains, lost, summary,
)
from toastlab.widgets import RegimePanel

study, axes, count = STUDIES["regime"], list(AXES), len(cells())
table, curves = study.load(), study.load("curves")  # a row is a run; curves are means of the seeds
BOLD = "TOAST literal"

def gain(method, measure="test_nll", rows=table):
    """What a method gains over cross-entropy in each cell; positive is better, whatever the measure."""
    return gains(rows, method, measure).set_index(axes)

nll = gain(BOLD)
here = Cell(*nll.gain.idxmax())
one = curves[(curves[axes] == list(vars(here).values())).all(axis=1)]
frames = {method: [one[one.method == method]] for method in (BASELINE, BOLD)}
figure = plots.learning_curves(frames, ["test_nll", "test_top1"], note=f"means of {len(SEEDS)} seeds")
title = f"{here.name[0].upper()}{here.name[1:]}: {nll.gain.max():.2f} nats of NLL gained"
figure.set_size_inches(8.2, 3.6)
figure.suptitle(title, fontsize=11, fontweight="bold")
figure.alt = f"{title}. {figure.alt}"
figure

# %% [markdown]
# A fine result, and chosen: of all ways to train that we tried, it is the one where this method gains most. A
# *cell* is one of them: how many images, how many wrong labels, how many epochs, with or without augmentation
# (crop, flip, Cutout). In each cell all methods ran with the same seeds, at equal new samples, with the settings
# of their sources.

# %%
print(f"{count} cells x {len(METHODS)} methods x {len(SEEDS)} seeds: {len(table)} runs")
for name, values in AXES.items():
    print(f"{name:11s}", *(f"{v:g}" for v in values))

# %% [markdown]
# A cell is called *clearly* better or worse where the 95-percent interval over the seeds does not contain zero.
# Three seeds make a wide interval: what is not clear is not therefore the same.
#
# **Predict first:** the method of the figure above, unchanged, in all cells.

# %%
everywhere = Prediction(
    f"In how many of the {count} cells is the NLL of {BOLD} clearly worse than that of cross-entropy?",
    a="in hardly any",
    b="in a quarter",
    c="in more than half",
)
everywhere.choose(...)

# %% [markdown]
# ## The map

# %%
def clear(rows):
    """In how many cells it is clearly better, and worse."""
    return int((rows.low > 0).sum()), int((rows.high < 0).sum())

def show(method):
    """A method's maps, and the finding on NLL."""
    better, worse = clear(gain(method))
    title = f"{method}: NLL clearly better in {better} of {count} cells, worse in {worse}"
    return plots.regime_view({m: gains(table, method, m) for m in MEASURES}, method, title=title)

def by_noise(rows, measure):
    """For each share of wrong labels how many cells are clearly better and worse."""
    parts = rows.groupby("noise_rate").apply(lambda x: "{} better, {} worse".format(*clear(x)))
    print(f"{measure}, by wrong labels:", "; ".join(f"{100 * e:.0f} % {x}" for e, x in parts.items()))

display(show(BOLD))
by_noise(nll, "NLL")
by_noise(gain(BOLD, "test_top1"), "top-1")
assert clear(nll)[1] > count / 2 and clear(nll)[0] > count / 6
assert clear(gain(BOLD, "test_top1").xs(0.0, level="noise_rate"))[0] < 3
everywhere.answer("c")

# %% [markdown]
# **Your prediction:** in more than half. The three maps are alike: blue stands where training was long and
# without augmentation, orange nearly everywhere else. The NLL gains there with clean labels, too. Accuracy hardly
# does: it needs wrong labels, and time to learn them by heart.
#
# A cell has four coordinates, and plain training has a fifth property there. It may be best at the end, or it may
# have been better on its way, and have gone on for too long.

# %%
order = Prediction(
    f"Which of these goes best with what {BOLD} gains in NLL?",
    a="the number of images",
    b="the share of wrong labels",
    c="how much plain training has lost since its best epoch",
)
order.choose(...)

# %% [markdown]
# ## Why there?

# %%
loss = lost(curves, "test_nll").set_index(axes).lost.loc[nll.index]  # of cross-entropy, per cell
both = pd.DataFrame({"gain": nll.gain, "lost": loss}).reset_index()
ranks = both[[*axes, "lost"]].corrwith(both.gain, method="spearman")
words = {"per_class": "images", "noise_rate": "wrong labels"}
print("rank correlation with the gain in NLL:",
      ", ".join(f"{words.get(k, k)} {r:+.2f}" for k, r in ranks.items()))
late = both[both.lost > 0.05]
print(f"where more than 0.05 nats are lost: {(late.gain > 0).sum()} of {len(late)} cells gain; "
      f"{(late.gain > late.lost).sum()} gain more than stopping would")
early = both[both.lost == 0]
print(f"where nothing is lost: {(early.gain > 0).sum()} of {len(early)} cells gain")
assert ranks.lost > 0.6 and max(abs(ranks.per_class), abs(ranks.noise_rate)) < ranks.lost / 2
assert (late.gain > 0).mean() > 0.8 and (early.gain > 0).mean() < 0.3
title = f"Rank correlation {ranks.lost:.2f}: what is gained is about what plain training has lost"
display(plots.gain_by_loss_view(both, title))
order.answer("c")

# %% [markdown]
# Where plain training has passed its best, TOAST holds it back. That gains about what stopping at the best
# evaluation would have gained (dotted), sometimes more. Where plain training is still on its way, being held back
# costs. Neither the number of images nor the share of wrong labels says half as much.
#
# A test of that reason: the same images and labels, and only the length changes.

# %%
length = nll.gain.xs(0, level="augmented").unstack("epochs")
signs = {epochs: int((length[epochs] > 0).sum()) for epochs in length}
print(f"without augmentation, of {len(length)} pairs of size and noise gain in NLL:",
      ", ".join(f"{k} epochs {n}" for k, n in signs.items()))
assert signs[5] <= 2 and signs[60] >= len(length) - 2

# %% [markdown]
# And why does it cost NLL and ECE where training is short? The rows hold no confidences, so train such a cell:

# %%
sure, right = {}, {}
for method in (BASELINE, BOLD):
    with TemporaryDirectory() as folder:
        run = RunStore(folder).get(config_of(Cell(200, 0.2, 5, 0), method, seed=0), device="cpu")
        kept = {k: torch.from_numpy(v) for k, v in run.group("predictions").items()}
    p = kept["test_logits"].softmax(1)
    sure[method] = float(p.amax(1).mean())
    right[method] = float((p.argmax(1) == kept["test_labels"]).float().mean())
    percent = f"{100 * sure[method]:.0f} % sure, right in {100 * right[method]:.0f} %"
    print(f"{method}, trained now: {percent}")
assert sure[BOLD] < sure[BASELINE] < right[BASELINE]

# %% [markdown]
# Wrong labels already make cross-entropy less sure than it is right. TOAST makes it less sure still.
#
# ## Is that TOAST, or any method?

# %%
every = summary(table)
worst = every[every.measure == "test_nll"].set_index("method").worse.sort_values()
harmless = [m for m in worst.index if every[every.method == m].worse.max() == 0]
print(f"clearly worse nowhere, by any measure: {len(harmless)} of {len(worst)} methods")
follow = {m: loss.corr(gain(m).gain, method="spearman") for m in worst.index}
strong = [m for m, r in follow.items() if r > 0.5]
print(f"the gain in NLL goes with what plain training has lost (rank correlation above 0.5) in "
      f"{len(strong)} of {len(follow)} methods")
harm = every[(every.measure == "test_nll") & (every.worse_holm > 0)].method
title = f"{len(harm)} of {len(worst)} methods are clearly worse in NLL somewhere, even after a correction"
assert len(harm) > len(worst) / 2 < len(strong) and worst["TOAST"] < worst["TOAST confidence"] < worst[BOLD] / 2
shown = every.set_index("method").loc[worst.index].reset_index()
plots.regime_counts_view(shown, title, count)

# %% [markdown]
# Of as many intervals one or two lie on the wrong side by luck. The dark part is what is left after Holm's
# correction over the cells. Most methods have the same map: none of them asks whether a network needs to be held
# back. Two readings of TOAST do ask, in their way, and they do much less harm than the literal one.
#
# ## A default that waits
#
# TOAST's default is the same reading, with a larger weight of the past and a ramp, which is **ours**. Both weights
# are zero until the network gets four fifths of its training samples right, and they grow from there. Until then
# it *is* plain training, to the last bit. The numbers come from a study on other ways to train (notebook 11).

# %%
price = Prediction(
    f"Take the ten cells where {BOLD} gains most, by each measure. What is left of that to the default?",
    a="nearly all: these networks get their samples right",
    b="most of the gain in NLL, less than half of that in accuracy",
    c="less than half of both",
)
price.choose(...)

# %%
ours = {measure: gain("TOAST", measure) for measure in MEASURES}
for measure, rows in ours.items():
    better, worse = clear(rows)
    print(f"{measure.removeprefix('test_')}: clearly better in {better} of {count} cells, worse in {worse}")
    assert worse <= 5 < better
same = (ours["test_nll"].gain == 0) & (ours["test_nll"].low == ours["test_nll"].high)
print(f"the same NLL as cross-entropy in all seeds, to five decimals: {same.sum()} of {count} cells")
harmed = [cell for rows in ours.values() for cell in rows.index[rows.high < 0]]
clean = sum(noise == 0 for _, noise, *_ in harmed)
print(f"clearly worse, over all measures: {len(harmed)} times, {clean} of these with clean labels")
assert same.sum() > count / 3 and clean > 0.7 * len(harmed)
show("TOAST")

# %% [markdown]
# Most of the orange is gone. In white cells the network never got so many samples right, and nothing was changed.
# What harm is left stands where labels are clean, which does not look like luck. Here are all cells in which the
# default acts, by whether plain training had lost anything, and by the labels:

# %%
acts = pd.DataFrame({m: rows.gain[~same] for m, rows in ours.items()})
groups = {"lost something": loss[~same] > 0.05, "lost little or nothing": loss[~same] <= 0.05}
for name, where in groups.items():
    part = acts[where].mean()
    print(f"cross-entropy has {name}: {where.sum()} cells, "
          f"top-1 {100 * part.test_top1:+.1f} points, NLL {part.test_nll:+.2f} nats")
for noise, part in acts.groupby("noise_rate").mean().iterrows():
    print(f"{100 * noise:.0f} % wrong labels: "
          f"top-1 {100 * part.test_top1:+.1f} points, NLL {part.test_nll:+.2f} nats")
idle = acts[groups["lost little or nothing"]]
assert idle.test_top1.mean() < 0 < acts[groups["lost something"]].test_nll.mean()

# %% [markdown]
# The ramp asks whether the network gets its samples right. That is not the same as having gone on too long. With
# clean labels a network may be right *and* still improve, and then the brake costs accuracy.
#
# ## What waiting costs
#
# The best cells of a method, by its own gains, flatter it: luck has chosen with us. So seed 0 chooses the ten
# cells here, and the other seeds say what is gained there. *TOAST confidence* is another reading of ours, bolder
# than the default. It waits for less, and trusts a past prediction as far as that is sure.

# %%
first, others = table[table.seed == 0], table[table.seed > 0]
readings, parts = [BOLD, "TOAST confidence", "TOAST"], {}
for measure in MEASURES:
    best = gain(BOLD, measure, first).gain.nlargest(10).index
    short = (best.get_level_values("epochs") == 20).sum()
    print(f"{measure.removeprefix('test_')}: {short} of the {len(best)} best cells have 20 epochs")
    for method in readings:
        parts[measure, method] = gain(method, measure, others).gain[best].mean()
for method in readings:
    top1, score, ece = (parts[m, method] for m in MEASURES)
    print(f"{method}: top-1 {100 * top1:+.1f} points, NLL {score:+.2f} nats, ECE {100 * ece:+.1f} points")
left = {m: parts[m, "TOAST"] / parts[m, BOLD] for m in MEASURES}
print(f"left to the default: {100 * left['test_nll']:.0f} % of the gain in NLL, "
      f"{100 * left['test_top1']:.0f} % of that in top-1")
flattered = gain(BOLD, "test_top1").gain.nlargest(10).mean()
print(f"chosen and measured by all seeds, {BOLD} would gain {100 * flattered:+.1f} points in top-1")
assert left["test_nll"] > 0.7 and 0 < left["test_top1"] < 0.5
assert parts["test_top1", "TOAST"] < parts["test_top1", "TOAST confidence"] < parts["test_top1", BOLD]
price.answer("b")

# %% [markdown]
# Waiting keeps most of what TOAST does for the NLL, which goes on being lost to the end. Accuracy is lost early, when
# wrong labels begin to be learnt: its best cells are shorter trainings, and the default begins too late for
# them. No reading here has both. The bolder ones gain more, and harm more.
#
# ## Try it
#
# Pick a method and a cell: the maps frame it, and the curves below show its course.

# %%
RegimePanel()

# %% [markdown]
# ## Exercises
#
# **1.** Write `clear(low, high)`: from the ends of intervals [cells], +1 where the gain is clearly
# positive, -1 where clearly negative, 0 where zero lies inside. An end at zero counts as inside.

# %%
def clear(low, high):
    return ...

check("clear", clear)

# %% [markdown]
# **2.** Write `ramp(right, start)`: the factor on both weights, from the share of training samples got
# right. It is 0 up to `start`, 1 where all are right, and a straight line between.

# %%
def ramp(right, start):
    return ...

check("ramp", ramp)

# %% [markdown]
# **3.** Write `begins(right, start)`: the shares got right after each epoch, [E], to the first epoch in which the
# weights are above zero. Epochs count from 1, and what is found after one holds for the next. If there is no such
# epoch, it is 0.

# %%
def begins(right, start):
    return ...

check("begins", begins)

# %% [markdown]
# **4.** Write `fresh_gain(gains, k)`: gains [S, C] of seeds and cells. All seeds but the last choose the k cells
# with the largest mean gain. Give back the last seed's mean gain in them.

# %%
def fresh_gain(gains, k):
    return ...

check("fresh_gain", fresh_gain)

# %% [markdown]
# **5.** A paper shows that a method gains two points in one setting. What do you ask before you use it?

# %%
mine = """
"""
discuss("one_cell", mine)

# %% [markdown]
# ## What to doubt
#
# * One small network and one data set. A convolutional network passes its best elsewhere.
# * Three seeds: only large differences are clear.
# * What plain training has lost is taken from a few evaluations on the test split. A best epoch chosen by
#   validation gives less.
# * Noise is symmetric, and the labels of validation and test are clean.
# * The default reads accuracy on training labels, wrong ones included. Where many are wrong, it gets so many
#   right only after it has learnt some of them by heart.
# * The methods keep the settings of their sources. Tuned to a cell, each might do better there.
