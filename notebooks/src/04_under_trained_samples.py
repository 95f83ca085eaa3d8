# %% [markdown]
# # 4. Under-trained samples
#
# *Twenty-five minutes of reading; runs in under 20 seconds.*
#
# **Goals.** Read training dynamics: confidence, variability, forgetting, AUM, EL2N; know which samples
# TOAST carries, and what that has to do with wrong labels.
#
# **Predict first:** TOAST carries samples that the network gets wrong into the next batch. A fifth of
# the labels is wrong. Which share of the carried samples will have a wrong label?

# %%
import numpy as np
from toastlab import DataConfig, RunStore, ToastConfig, TrainConfig, load
from toastlab.analysis import dynamics as dyn
from toastlab import plots

noisy = DataConfig(name="fashion-mini", noise_rate=0.2)
data = load(noisy)
toast = RunStore("../data/runs").get(TrainConfig(data=noisy, method=ToastConfig()), dataset=data)
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
# * **times carried**: how often TOAST's second stage chose the sample.
#
# Of the 1,200 samples that each measure ranks highest, which share has a flipped label? Chance is
# 20 %.

# %%
scores = {
    "low confidence": -frame.confidence.to_numpy(),
    "forgetting events": dyn.forgetting(d.correct)[0].astype(float),
    "low AUM": -dyn.aum(d.logits, d.labels),
    "EL2N, last epoch": dyn.el2n(d.logits[-1], d.labels),
    "times carried": frame.carried.to_numpy(float),
}
early = dyn.el2n(d.logits[2], d.labels)
found = {}
for name, score in {**scores, "EL2N, epoch 3": early}.items():
    found[name] = dyn.precision_at_flipped(score, d.flipped)
    print(f"{name:18s} {100 * found[name]:3.0f} % of its top are flipped labels")
assert found["EL2N, epoch 3"] > found["low AUM"] > found["EL2N, last epoch"]
assert min(found, key=found.get) == "forgetting events"

# %% [markdown]
# Early, EL2N finds more flipped labels than any of the others, 88 %; after the last epoch, with most
# wrong labels learnt by heart, 62 %. Forgetting finds least: what was never learnt cannot be
# forgotten. Do the five rank the samples alike? Spearman's rank correlations:

# %%
heads = {name: name.split(",")[0].split()[-1] for name in scores}
print(" " * 18, *(f"{head:>10s}" for head in heads.values()))
alike = {(a, b): dyn.spearman(scores[a], scores[b]) for a in scores for b in scores}
for a in scores:
    print(f"{a:18s}", *(f"{alike[a, b]:10.2f}" for b in scores))
three = ("low confidence", "low AUM", "EL2N, last epoch")
assert min(alike[a, b] for a in three for b in three) > 0.8
assert all(0.6 < alike["times carried", a] < 0.85 for a in three)
assert all(alike["forgetting events", a] < 0.6 for a in scores if a != "forgetting events")

# %% [markdown]
# Confidence, AUM and EL2N agree (0.86 to 0.97). Times carried agrees with confidence and AUM (0.79 and
# 0.83), less with EL2N after the last epoch (0.61); forgetting agrees least with all of them (0.38 to
# 0.57).
#
# ## Which samples are carried

# %%
visits = frame.carried.to_numpy()
wrong = 100 * visits[d.flipped].sum() / visits.sum()
print(f"{wrong:.0f} % of the {visits.sum()} carried samples have a flipped label")
taken = 100 * toast.metrics.carried_share
print(f"they take {taken.iloc[0]:.0f} % of a batch in epoch 1, {taken.iloc[-1]:.0f} % in epoch 30")
assert wrong > 50

# %% [markdown]
# **Your prediction:** 69 % of what is carried has a wrong label. Under-trained here means, mostly,
# wrongly labelled: the carry repeats what should not be learnt. That is the price of targeting by
# mistakes under label noise. The random carry draws without looking, and is better there (docs/results.md).
#
# The images that were carried most often:

# %%
most = np.argsort(-visits, kind="stable")[:16]
images = data.train.images.numpy()[most]
captions = [f"{data.classes[d.labels[i]]}\n{int(visits[i])} times" for i in most]
shown = (images, captions, d.flipped[most].tolist(), "Carried most often")
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
# [B], the positions of at most `most` misclassified samples, least confident first. That is the
# carry.


# %%
def least_confident(p, right, most):
    return ...


check("least_confident", least_confident)

# %% [markdown]
# ## What to doubt
#
# * "Under-trained" [S] is the paper's word; "misclassified in the step just made" is our reading [R].
#   Other readings are options: `criterion="quantile"`, `"probability"`, `"medoid-distance"`.
# * Real label noise is not symmetric; real hard samples are not flipped ones. Ranking flipped labels
#   first is a test of the measures, not of their use.
