# %% [markdown]
# # 4. Under-trained samples
#
# *Twenty-five minutes of reading; runs in under 20 seconds.*
#
# **Goals.** Read training dynamics: confidence, variability, forgetting, AUM, EL2N; know which samples
# TOAST distils, and what that has to do with wrong labels.
#
# **Predict first:** TOAST distils the half of each batch whose labels the network found least probable.
# A fifth of the labels is wrong. Which share of the wrong labels will be in that half, and which share
# of the half will be wrong labels?

# %%
import numpy as np
from toastlab import CrossEntropyConfig, DataConfig, RunStore, ToastConfig, TrainConfig, load
from toastlab.analysis import dynamics as dyn
from toastlab import plots

noisy = DataConfig(name="fashion-mini", noise_rate=0.2)
data = load(noisy)
store = RunStore("../data/runs")
toast = store.get(TrainConfig(data=noisy, method=ToastConfig()), dataset=data)
plain = store.get(TrainConfig(data=noisy, method=CrossEntropyConfig()), dataset=data)
d = toast.dynamics
print(f"{len(d.labels)} samples, {int(d.flipped.sum())} with a label flipped on purpose")

# %% [markdown]
# ## The data map
#
# For each sample, over the epochs: *confidence* is the mean of its true-class probability,
# *variability* the standard deviation, *correctness* the share of epochs in which it was classified
# right (Swayamdipta et al., 2020). A probability lies in [0, 1], so the variability cannot exceed
# $\sqrt{\mu(1-\mu)}$: the dashed line.

# %%
frame = dyn.data_map(d)
print(plots.describe_data_map(frame))
plots.data_map(frame)

# %% [markdown]
# Built by hand, and equal to the library's in every sample:

# %%
p = d.probability.astype(np.float64)
mean, spread = np.nanmean(p, 0), np.nanstd(p, 0)
print("sample 0, by hand and by the library:")
print(f"confidence  {mean[0]:.3f} {frame.confidence[0]:.3f}")
print(f"variability {spread[0]:.3f} {frame.variability[0]:.3f}")
share = spread / np.sqrt(mean * (1 - mean))
print(f"the variability comes to at most {100 * share.max():.0f} % of its bound")
assert np.allclose(mean, frame.confidence) and np.allclose(spread, frame.variability)
assert share.max() <= 1 + 1e-6

# %% [markdown]
# ## Five measures of the same trouble
#
# * **low confidence**, as above;
# * **forgetting events** (Toneva et al., 2019): right in one epoch, wrong in the next;
# * **AUM** (Pleiss et al., 2020): the margin between the label's logit and the largest other one,
#   averaged over the epochs;
# * **EL2N** (Paul et al., 2021): the distance between prediction and label. Its authors take it early
#   in training and average it over several starts; here there is one start, and both an early and the
#   last epoch;
# * **times distilled**: how often TOAST's second stage chose the sample.
#
# Of the 1,200 samples that each measure ranks highest, which share has a flipped label? Chance is
# 20 %.

# %%
scores = {
    "low confidence": -frame.confidence.to_numpy(),
    "forgetting events": dyn.forgetting(d.correct)[0].astype(float),
    "low AUM": -dyn.aum(d.logits, d.labels),
    "EL2N, last epoch": dyn.el2n(d.logits[-1], d.labels),
    "times distilled": frame.carried.to_numpy(float),
}
others = {
    "EL2N, epoch 3": dyn.el2n(d.logits[2], d.labels),
    "EL2N last, CE": dyn.el2n(plain.dynamics.logits[-1], d.labels),  # cross-entropy, last epoch
}
found = {}
for name, score in {**scores, **others}.items():
    found[name] = dyn.precision_at_flipped(score, d.flipped)
    print(f"{name:18s} {100 * found[name]:3.0f} % of its top are flipped labels")
assert min(found["low confidence"], found["low AUM"], found["EL2N, epoch 3"]) > 0.8
assert found["EL2N, last epoch"] > 0.7 > found["EL2N last, CE"]
assert min(found, key=found.get) == "forgetting events"

# %% [markdown]
# Confidence, AUM and early EL2N find five sixths of the flipped labels; EL2N after the last epoch finds
# nearly as many: TOAST has learnt few of them by heart. Under cross-entropy (CE) it finds 58 %, since that
# network has. Forgetting finds no more than chance: what was never learnt cannot be forgotten. Do the
# five rank the samples alike? Spearman's rank correlations:

# %%
heads = {name: name.split(",")[0].split()[-1] for name in scores}
print(" " * 18, *(f"{head:>10s}" for head in heads.values()))
alike = {(a, b): dyn.spearman(scores[a], scores[b]) for a in scores for b in scores}
for a in scores:
    print(f"{a:18s}", *(f"{alike[a, b]:10.2f}" for b in scores))
assert min(alike[a, b] for a in scores for b in scores if "forgetting events" not in (a, b)) > 0.85
assert all(alike["forgetting events", a] < 0.5 for a in scores if a != "forgetting events")

# %% [markdown]
# Four agree (0.91 to 0.99); forgetting agrees with none of them (0.30 to 0.36).
#
# ## Which samples are distilled

# %%
visits = frame.carried.to_numpy()
epochs = len(toast.metrics)
taken = 100 * toast.metrics.carried_share
print(f"chosen are {taken.iloc[0]:.0f} % of a batch in epoch 1, {taken.iloc[-1]:.0f} % in epoch 30")
often = {"wrong labels": visits[d.flipped], "right labels": visits[~d.flipped]}
for name, times in often.items():
    print(f"{name}: in {100 * times.mean() / (epochs - 1):.0f} % of the epochs from the second on")
wrong = 100 * visits[d.flipped].sum() / visits.sum()
print(f"{wrong:.0f} % of what is distilled has a flipped label")
assert visits[d.flipped].mean() > 0.9 * (epochs - 1) and 35 < wrong <= 40

# %% [markdown]
# **Your prediction:** nearly all wrong labels are in the distilled half, 97 % of them in an epoch, and they
# are 40 % of it: as many as there could be, since a fifth of all is two fifths of a half. So the samples
# that are distilled are the ones whose labels are least to be trusted, and the rest of the half are hard
# samples with right labels. What a random choice of the same size does instead is in docs/results.md.
#
# The images that were distilled most often:

# %%
most = np.argsort(-visits, kind="stable")[:16]
images = data.train.images.numpy()[most]
captions = [f"{data.classes[d.labels[i]]}\n{int(visits[i])} times" for i in most]
shown = (images, captions, d.flipped[most].tolist(), "Distilled most often")
print(plots.describe_sample_gallery(*shown))
plots.sample_gallery(*shown)

# %% [markdown]
# ## Try it
#
# Set an epoch and a threshold, narrow it down by label or by region of the data map, and switch
# between the map and the images: the least probable samples above, those nearest the threshold below.

# %%
from toastlab.widgets import SamplePanel

SamplePanel(toast, data)

# %% [markdown]
# ## Exercises
#
# **1.** Write `forgetting_events(correct)`: [E] bool over epochs to how often right turned to wrong.

# %%
from toastlab.course.judge import check, solution


def forgetting_events(correct):
    return ...


check("forgetting_events", forgetting_events)

# %% [markdown]
# **2.** Write `least_confident(p, right, most)`: from true-class probabilities [B] and correctness
# [B], the positions of at most `most` misclassified samples, least confident first. That is who is
# carried with `criterion="misclassified"`, the kit's first reading.


# %%
def least_confident(p, right, most):
    return ...


check("least_confident", least_confident)

# %% [markdown]
# ## What to doubt
#
# * "Under-trained" [S] is the paper's word; "the half of a batch with the least probable labels" is our
#   reading [R], `criterion="quantile"`. Others are options: `"misclassified"`, `"probability"`,
#   `"medoid-distance"`.
# * Real label noise is not symmetric; real hard samples are not flipped ones. Ranking flipped labels
#   first is a test of the measures, not of their use.
