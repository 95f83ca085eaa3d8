# %% [markdown]
# # 6. Wrong labels, learnt by heart: soft targets in the plane
#
# *Twenty minutes of reading, half an hour of exercises; runs in under 30 seconds.*
#
# **Goals.** See in a t-SNE picture how a network learns wrong labels by heart, and check it by counting. See
# what TOAST changes about that. Know what such a picture cannot show.
#
# Each point is a training image, placed by the **soft target** that the network gives it. Points that say
# nearly the same come next to each other: that is t-SNE (van der Maaten and Hinton, 2008).

# %%
import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from toastlab import analyse, plots
from toastlab.course import Prediction, check, discuss, hint, solution
from toastlab.course.runs import course_data, course_runs
from toastlab.studies import layouts as embedding
from toastlab.widgets import Explorer
from toastlab.widgets.explorer.places import stored as stored_places

data, runs = course_data(), course_runs("../data/runs")  # a fifth of the training labels is wrong
labels, clean, names = data.train.labels, data.train.clean_labels, data.classes
wrong = labels != clean
stored = embedding.load_layouts(runs)  # made beforehand, of some samples of each label
some = stored.index
print(f"{len(some)} training images; the label is wrong in {int(wrong[some].sum())}")
panels = {}
for epoch, finding in {5: "with what they show", 30: "with their wrong label"}.items():
    key = ("cross-entropy", "soft targets", 30.0, epoch)
    panels[f"After epoch {epoch}: {finding}"] = (stored.places[key], stored.trust[key])
plots.tsne_view(panels, clean[some].numpy(), names, wrong[some].numpy())

# %% [markdown]
# Colours are what an image *shows*, black rings a wrong label. Left, rings lie among points of their own
# colour: this network takes a mislabelled boot for a boot. Right, many lie in groups of another colour.
# They have moved to the class on their label: **learnt by heart**.
#
# This was cross-entropy. TOAST distils under-trained samples from past predictions [S]. In our reading these
# are the samples that it gets wrong [R]. That it begins only once four fifths of the labels are got right is
# ours. **Predict first:** what does that do to wrong labels?

# %%
stays = Prediction(
    "After epoch 30, how many wrongly labelled samples still lie with the class that they show?",
    a="fewer under TOAST: it is trained on the same labels, and on past predictions on top",
    b="about as many under TOAST as under cross-entropy",
    c="more under TOAST",
)
stays.choose(...)

# %% [markdown]
# ## Count, do not look
#
# Each wrongly labelled sample has fifteen nearest neighbours among all training samples. Are there more that
# show what it shows, or more that show the class on its label?

# %%
rows = wrong.nonzero()[:, 0]

def lies_with_shown(logits):
    """How many percent of the wrongly labelled samples lie with the class that they show."""
    x = torch.from_numpy(logits).float().div(2).softmax(1).sqrt()  # roots, see exercise 2
    d = torch.cdist(x[rows], x)
    d[torch.arange(len(rows)), rows] = torch.inf  # nobody is a neighbour of himself
    near = clean[d.topk(15, largest=False).indices]
    shown, label = ((near == of[rows, None]).sum(1) for of in (clean, labels))
    return 100 * float((shown > label).float().mean())

curves = {name: [lies_with_shown(z) for z in run.dynamics.logits] for name, run in runs.items()}
same = [bool((a == b).all()) for a, b in zip(*(run.dynamics.logits for run in runs.values()))]
apart = 1 + same.index(False)
print(f"of {len(rows)} wrongly labelled samples, with the class that they show:")
for name, curve in curves.items():
    print(f"{name}: {curve[4]:.0f} % after epoch 5, {curve[-1]:.0f} % at the end")
print(f"both trainings are the same up to epoch {apart - 1}")
assert curves["TOAST"][-1] > curves["cross-entropy"][-1] + 8 and min(c[4] for c in curves.values()) > 90
assert apart > 10 and not any(same[apart:])
plots.over_epochs(curves, "with what they show (%)", "Wrong labels are learnt late, and fewer under TOAST")

# %%
stays.answer("c")

# %% [markdown]
# **Your prediction:** more under TOAST. Up to the point where the curves part both are the same training.
# From there on cross-entropy goes on to learn wrong labels, and TOAST learns fewer of them, but not none.
# Whoever stops early has less of it, too. Below are samples whose wrong label only cross-entropy has learnt.

# %%
said = {name: torch.from_numpy(run.dynamics.logits[-1]).argmax(1) for name, run in runs.items()}
heart = {name: (p == labels) & wrong for name, p in said.items()}
parts = [f"{name} {100 * int(by.sum()) / len(rows):.0f} %" for name, by in heart.items()]
print("wrong labels that are predicted:", ", ".join(parts))
only = heart["cross-entropy"] & (said["TOAST"] == clean)
back = heart["TOAST"] & (said["cross-entropy"] == clean)
print(f"by heart under cross-entropy and seen through by TOAST: {only.sum()}; the other way round: {back.sum()}")
assert only.sum() > 100 > 10 * back.sum()
first = only.nonzero()[:8, 0]
captions = [f"shows {names[clean[i]]},\nlabel {names[labels[i]]}" for i in first]
title = "What they show is seen by TOAST, what their label says by cross-entropy"
plots.sample_gallery(data.train.images[first].numpy(), captions, [True] * 8, title,
                     "with a wrong label", wide=1.05)

# %% [markdown]
# ## Which is tidier?
#
# Does TOAST make the tidier picture, since it pulls each class towards one soft target? Count again.

# %%
share = {}
for name, run in runs.items():
    x = embedding.features(run.dynamics.logits[-1], "soft targets")
    near = NearestNeighbors(n_neighbors=15).fit(x).kneighbors(return_distance=False)
    share[name] = [100 * float((of[near] == of[:, None]).float().mean()) for of in (labels, clean)]
    print(f"{name}: {share[name][0]:.0f} % of the neighbours have the same label, "
          f"{share[name][1]:.0f} % show the same class")
assert share["cross-entropy"][0] > share["TOAST"][0] + 3 and share["TOAST"][1] > share["cross-entropy"][1]

# %% [markdown]
# By labels cross-entropy has the tidier picture, by what the images show TOAST has it by a little. Tidy by
# labels is no virtue where a fifth of the labels is wrong: that order *is* what was learnt by heart.
#
# ## Watch single samples
#
# The explorer shows the TOAST run, its second plane with t-SNE. Press *play*, and watch a ring. Draw around
# rings that lie in a strange group: the gallery says what they show.

# %%
found = analyse(runs["TOAST"])
Explorer(found, places=stored_places(stored, "TOAST", len(found.table)))

# %% [markdown]
# Without a kernel you see its first plane only: how sure the network was of each label, and how much that
# changed. Crosses are wrong labels; those at the bottom were never believed. `TsnePanel` of
# `toastlab.widgets` has both runs beside each other.
#
# ## What t-SNE does not show: groups that are not there
#
# These points are drawn from *one* normal distribution in ten dimensions. The **perplexity** says how many
# neighbours count, about. With few of them t-SNE makes clumps: believe none. **Trustworthiness** (Venna
# and Kaski, 2001) says how far neighbours in the plane are neighbours in truth; 1 is perfect. Here it is lower
# than in the layouts above, which is the warning.

# %%
noise = np.random.RandomState(0).randn(len(some), 10)
panels = {}
for perplexity in (5, 50):
    xy = embedding.layout(noise, perplexity)
    panels[f"one normal, perplexity {perplexity}"] = (xy, embedding.trustworthiness(noise, xy))
assert max(trust for _, trust in panels.values()) < 0.9 < min(stored.trust.values())
plots.tsne_view(panels, np.zeros(len(noise), dtype=int), ["one group"])

# %% [markdown]
# ## Exercises
#
# **1.** Write `by_heart(predicted, labels, clean)`, three times [n]: the share of the wrongly labelled samples
# that are predicted as their label.

# %%
def by_heart(predicted, labels, clean):
    return ...

check("by_heart", by_heart)

# %% [markdown]
# **2.** t-SNE needs distances. Between soft targets we take the Hellinger distance, which is Euclidean between
# the roots. Write `hellinger(p, q)` for two distributions [K]:
#
# $$H(p, q) = \sqrt{1 - \sum_k \sqrt{p_k q_k}} = \tfrac{1}{\sqrt 2} \lVert \sqrt p - \sqrt q \rVert_2$$

# %%
def hellinger(p, q):
    return ...

check("hellinger", hellinger)

# %% [markdown]
# **3.** Write `neighbour_purity(x, labels, k)`: the mean share of each sample's k nearest neighbours in x
# [N, D] that have its label. Distances are Euclidean, and nobody is a neighbour of himself.

# %%
def neighbour_purity(x, labels, k):
    return ...

check("neighbour_purity", neighbour_purity)

# %% [markdown]
# **4.** Two layouts of the same points may differ by a turn alone. Write `turned(xy, onto)`: the layout xy
# [n, 2], turned and mirrored so that it lies as near `onto` as can be. Both have mean 0.

# %%
def turned(xy, onto):
    return ...

check("turned", turned)

# %% [markdown]
# **5.** In a t-SNE picture trousers lie far from bags. Does it follow that these classes differ most?

# %%
mine = """
"""
discuss("far_apart", mine)

# %% [markdown]
# ## What to doubt
#
# * One seed each: that TOAST learns fewer wrong labels is shown here for two runs. Accuracies over more seeds
#   stand in [docs/claims.md](../docs/claims.md).
# * The layouts are *encouraged* to look alike: each starts from that of a later epoch, and is turned onto it.
#   A sample that stays may have moved in truth.
# * Tidy is not right: a network that is sure and wrong makes beautiful groups.
