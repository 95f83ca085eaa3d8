# %% [markdown]
# # 4. Under-trained samples
#
# *Twenty-five minutes of reading; runs in under 20 seconds.*
#
# **Goals.** Read training dynamics: confidence, variability, forgetting, AUM, EL2N; know whom TOAST
# carries, and what that has to do with wrong labels.
#
# **Predict first:** TOAST carries the samples that the network gets wrong. A fifth of the labels is
# wrong. Who will be carried?

# %%
import numpy as np
from toastlab import DataConfig, RunStore, ToastConfig, TrainConfig, load
from toastlab import dynamics as dyn
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
# Built by hand, and equal to the library's:

# %%
p = d.probability.astype(np.float64)
print("confidence:", np.allclose(np.nanmean(p, 0), frame.confidence))
print("variability:", np.allclose(np.nanstd(p, 0), frame.variability))
print("bound:", bool((frame.variability <= np.sqrt(frame.confidence * (1 - frame.confidence)) + 1e-6).all()))

# %% [markdown]
# ## Five measures of the same trouble
#
# * **low confidence**, as above;
# * **forgetting events** (Toneva et al., 2019): right in one epoch, wrong in the next;
# * **AUM** (Pleiss et al., 2020): the margin between the label's logit and the largest other one,
#   averaged over the epochs;
# * **EL2N** (Paul et al., 2021): the distance between prediction and label, here after the last epoch;
# * **times carried**: whom TOAST's second stage chose.
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
for name, score in scores.items():
    share = dyn.precision_at_flipped(score, d.flipped)
    print(f"{name:18s} {100 * share:3.0f} % of its top are flipped labels")

# %% [markdown]
# Forgetting is the odd one out: what was never learnt cannot be forgotten. The other four agree:

# %%
names = list(scores)
for i, a in enumerate(names):
    row = [f"{dyn.spearman(scores[a], scores[b]):+.1f}" for b in names]
    print(f"{a:18s}", " ".join(row))

# %% [markdown]
# ## Whom the carry visits
#
# The images that were carried most often. Under-trained here means, mostly, wrongly labelled: the
# carry spends its half of the batch on what should not be learnt. That is the price of targeting by
# mistakes under label noise, and the random carry, which does not pay it, is better there (README).

# %%
most = np.argsort(-frame.carried.to_numpy(), kind="stable")[:16]
images = data.train.images.numpy()[most]
captions = [f"{data.classes[d.labels[i]]}\n{int(frame.carried[i])} times" for i in most]
shown = (images, captions, d.flipped[most].tolist(), "Carried most often")
print(plots.describe_sample_gallery(*shown))
plots.sample_gallery(*shown)

# %% [markdown]
# ## Try it
#
# Set an epoch and a threshold, narrow it down by label or by region of the data map, and switch
# between the map and the images.

# %%
from toastlab.widgets import SamplePanel

SamplePanel(toast, data)

# %% [markdown]
# ## Exercises
#
# **1.** Write `forgetting_events(correct)`: [E] bool over epochs to how often right turned to wrong.

# %%
from toastlab.checks import check, solution


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
# * "Under-trained" [S] is the paper's word; "misclassified after the step" is our reading [R]. Other
#   readings are options: `criterion="quantile"`, `"probability"`, `"medoid-distance"`.
# * Real label noise is not symmetric; real hard samples are not flipped ones. Ranking flipped labels
#   first is a test of the measures, not of their use.
