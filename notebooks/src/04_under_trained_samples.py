# %% [markdown]
# # 4. Under-trained samples
#
# *Twenty-five minutes of reading; half an hour of exercises; runs in under 20 seconds.*
#
# **Goals.** Read a training sample by sample: confidence, variability, forgetting. Know which samples
# TOAST carries, what they have to do with wrong labels, and when a training tells most about its labels.
#
# After each epoch a run notes what the network said of every training image. The *confidence* of a sample
# is the mean probability of its label over the epochs (Swayamdipta et al., 2020). Here are the samples in
# which the network believed least.

# %%
import numpy as np
from toastlab import ToastConfig, analyse, plots
from toastlab.analysis import dynamics as dyn
from toastlab.analysis.scores import SCORES
from toastlab.course import Prediction, check, discuss, hint, solution
from toastlab.course.runs import course_data, course_runs
from toastlab.plots.carried import carried_view
from toastlab.widgets import Explorer

data, runs = course_data(), course_runs("../data/runs")
found = analyse(runs["TOAST"])  # one table, a row a sample; also of a training of your own
table, names, d = found.table, data.classes, runs["TOAST"].dynamics
wrong = table.flipped.to_numpy(dtype=bool)  # label flipped on purpose
least = np.argsort(table.confidence.to_numpy(), kind="stable")[:8]
captions = [f"{names[d.labels[i]]},\n{100 * table.confidence[i]:.1f} %" for i in least]
title = f"Least confidence of all: {wrong[least].sum()} of {len(least)} have a wrong label"
assert wrong[least].sum() >= 7
plots.sample_gallery(data.train.images[least].numpy(), captions, wrong[least], title, wide=1.05)

# %% [markdown]
# Below each image stands the label that it was trained with. A fifth of all labels is wrong, flipped on
# purpose to any other class. TOAST distils *under-trained* samples from past predictions of half the batch size **[S]**. In our reading
# **[R]** these are the misclassified samples of a batch, the least confident first, at most half a batch.
# They are **carried**: they come again in the next batch, with what the network just said of them.
#
# **Predict first:** misclassified may be a hard sample with a right label, or one with a wrong label.

# %%
whom = Prediction(
    "How many of the carried samples have a wrong label?",
    a="about a fifth, as of all samples",
    b="about half",
    c="about four in five",
)
whom.choose(...)

# %% [markdown]
# ## Who is carried
#
# Each bar counts the samples carried in an epoch; before the first bar it is plain training. The diamonds
# are a random carry: as many samples, drawn by lot.

# %%
visits = d.carried.astype(int)  # [E, N], carried visits of each sample in each epoch
rng, per_epoch = np.random.default_rng(0), visits.sum(1)
lot = np.array([wrong[rng.choice(len(wrong), n, replace=False)].sum() for n in per_epoch])
picked = visits[:, wrong].sum(1)
begin = int((per_epoch > 0).argmax()) + 1
assert 0.75 < picked.sum() / per_epoch.sum() < 0.85 and 0.17 < lot.sum() / per_epoch.sum() < 0.23
display(carried_view(picked, per_epoch - picked, lot))
whom.answer("c")

# %% [markdown]
# **Your prediction:** about four in five. When the carry begins, the network knows most of its classes; what
# it still gets wrong are mostly labels that are wrong themselves. *Targeting picks the wrong labels.*
#
# And the others, whose label is right? Those that were carried most often:

# %%
total = visits.sum(0)
hard = np.argsort(-np.where(wrong, 0, total), kind="stable")[:8]
said = d.logits[-1].argmax(1)
captions = [f"{names[d.labels[i]]},\nsaid {names[said[i]]}" for i in hard]
of_class = {name: int(total[~wrong & (d.labels == c)].sum()) for c, name in enumerate(names)}
ranked = sorted(of_class, key=of_class.get, reverse=True)
print("visits with a right label:", ", ".join(f"{n} {of_class[n]}" for n in (*ranked[:3], ranked[-1])))
assert set(ranked[:3]) <= {"Shirt", "Pullover", "Coat", "T-shirt/top"} and ranked[-1] == "Trouser"
title = "Right labels, carried most often: rare shapes, and garments for the upper body"
plots.sample_gallery(data.train.images[hard].numpy(), captions, wrong[hard], title, wide=1.05)

# %% [markdown]
# These are hard: a shirt may look like a coat, and some shapes are rare. Trousers look like nothing else.
#
# ## What becomes of a wrong label
#
# A network can *see through* a wrong label and say the true class, or learn the label *by heart*.

# %%
heart, seen = {}, {}
for name, run in runs.items():
    answers = run.dynamics.logits.argmax(2)  # [E, N]
    heart[name] = 100 * (answers == d.labels)[:, wrong].mean(1)
    seen[name] = 100 * (answers == d.clean_labels)[:, wrong].mean(1)
    print(f"{name}: by heart {heart[name][5]:.0f} % after epoch 6, {heart[name][-1]:.0f} % at the end; "
          f"seen through {seen[name][5]:.0f} %, then {seen[name][-1]:.0f} %")
last = (visits[-1] > 0) & wrong
true = 100 * (d.logits[-1].argmax(1) == d.clean_labels)[last].mean()
print(f"of the wrong labels carried in the last epoch the network says the true class of {true:.0f} %")
assert true > 80 and heart["cross-entropy"][5] < 6 < 65 < heart["cross-entropy"][-1] < 78
assert heart["TOAST"][begin - 1] > heart["cross-entropy"][begin - 1]
assert heart["TOAST"][-1] < heart["cross-entropy"][-1] - 15
assert np.array_equal(heart["TOAST"][:begin - 1], heart["cross-entropy"][:begin - 1])
title = "Wrong labels are learnt late; from the carry on TOAST learns fewer of them"
plots.over_epochs(heart, "learnt by heart (%)", title)

# %% [markdown]
# Until the carry begins both curves are one, since TOAST is plain training until then [ours]. At first it
# even learns a few more, and in the end far fewer. A carried sample is held to what the network said of it,
# and late in the training that is mostly the true class.
#
# ## Does the targeting help?
#
# The study of readings has ten seeds in each of six ways to train. *Clearly* means that the interval of the
# paired difference in test accuracy lies above zero.

# %%
from toastlab.analysis.statistics import BASELINE, interval
from toastlab.studies.reading_pool import canonical, label_of
from toastlab.studies.readings import load
rows, own = load(), label_of(canonical(ToastConfig()))
top1 = rows.set_index(["reading", "role", "cell", "seed"]).test_top1.sort_index()
cells = rows.cell.unique()
noisy = np.array(["noise" in cell for cell in cells])
for rival, key in {"cross-entropy": (BASELINE, "whole"), "random carry": (own, "random carry")}.items():
    gain = 100 * (top1[own, "whole"] - top1[key])
    mean, low, high = np.array([interval(gain[cell].tolist()) for cell in cells]).T
    for words, some in {"wrong labels": noisy, "right labels": ~noisy}.items():
        print(f"{words}, against {rival}: {mean[some].min():+.1f} to {mean[some].max():+.1f} points, clearly "
              f"better in {(low[some] > 0).sum()} of {some.sum()} ways to train")
    assert (low[noisy] > 0).all() and (high >= 0).all() and np.abs(mean[~noisy]).max() < 0.6
    assert (mean == 0).sum() == 1  # where the carry never begins

# %% [markdown]
# With wrong labels the targeted carry is better than as many samples by lot; with right labels there is
# next to nothing to gain. Where the network never knows enough for the carry to begin, TOAST *is* plain
# training, and both differences are zero.
#
# ## When to look for wrong labels
#
# Sort the samples by a score, and look at as many as there are wrong labels: which share is wrong? *AUM*
# (Pleiss et al., 2020) averages the label's logit minus the largest other one. *EL2N* (Paul et al., 2021) is
# the distance between prediction and label in one epoch, meant to be early. *Forgetting* (Toneva et al.,
# 2019) counts how often right turned to wrong.

# %%
hits = {}
for score in ("confidence", "aum", "el2n_early", "el2n", "forgetting", "carried"):
    about = SCORES[score]
    hits[score] = 100 * dyn.precision_at_flipped(about.sign * table[score].to_numpy(float), wrong)
    print(f"{about.label:32s} {hits[score]:3.0f} % of its top are wrong labels")
assert max(hits, key=hits.get) == "el2n_early" and hits["el2n"] < hits["el2n_early"] - 10
assert min(hits, key=hits.get) == "forgetting"
curves = {}
for name, run in runs.items():
    errors = (dyn.el2n(z, d.labels) for z in run.dynamics.logits)
    curves[f"EL2N, {name}"] = np.array([100 * dyn.precision_at_flipped(e, wrong) for e in errors])
assert all(x[:8].max() > 80 and x[-1] < x.max() - 10 for x in curves.values())
assert curves["EL2N, TOAST"][-1] > curves["EL2N, cross-entropy"][-1]
title = "Look early: what the network doubts after few epochs is mostly a wrong label"
plots.over_epochs(curves, "wrong labels at the top (%)", title, ("by lot", 100 * wrong.mean()))

# %% [markdown]
# Early doubts find more than late ones, since a label learnt by heart is no longer doubted. TOAST keeps its
# doubts a little longer. Forgetting finds hardly more than the lot does: what was never learnt cannot be
# forgotten. And *times carried*, which costs nothing, finds nearly as many as the confidence.
#
# ## Try it
#
# The **data map** puts confidence above variability: easy samples lie at the top left, ambiguous ones right,
# hard or mislabelled ones at the bottom. Draw around some points and see their images. Press *play*: where do
# the wrong labels (rings) go, and when? [More on the explorer](../docs/explorer.md).

# %%
Explorer(found)

# %% [markdown]
# ## Exercises
#
# **1.** Write `forgetting_events(correct)`: bools over the epochs, [E], to how often right turned to wrong.

# %%
def forgetting_events(correct):
    return ...

check("forgetting_events", forgetting_events)

# %% [markdown]
# **2.** Write `least_confident(p, right, most)`: probabilities of the labels [B] and bools [B] to the positions
# of at most `most` misclassified samples, least confident first. That is who is carried.

# %%
def least_confident(p, right, most):
    return ...

check("least_confident", least_confident)

# %% [markdown]
# **3.** Write `hit_rate(score, wrong)`: scores [n] and bools [n] to the share of wrong labels among the highest
# scores, of which as many are looked at as there are wrong labels.

# %%
def hit_rate(score, wrong):
    return ...

check("hit_rate", hit_rate)

# %% [markdown]
# **4.** A sample of your own data is carried in every epoch. Is it mislabelled, or rare? You have no clean
# labels. What would you look at?

# %%
mine = """
"""
discuss("rare_or_wrong", mine)

# %% [markdown]
# ## What to doubt
#
# * That under-trained means misclassified is our reading [R]. Others are options: `criterion="probability"`,
#   `"quantile"`, `"medoid-distance"`.
# * Labels were flipped at random. Real mistakes are between classes that look alike, and are seen through
#   less easily.
# * TOAST also softens its labels (stage 1) from the same epoch on. Only the comparison with a random carry
#   shows what the targeting does. Other methods gain more, see [docs/readings.md](../docs/readings.md).
