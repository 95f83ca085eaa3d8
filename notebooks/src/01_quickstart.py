# %% [markdown]
# # 1. Quickstart: cross-entropy against TOAST
#
# *Five minutes of reading; the whole notebook runs in under 20 seconds.*
#
# **Goals.** Train a small network on real images with a fifth of the labels wrong, once with plain
# cross-entropy and once with TOAST; see where they differ; know how sure one may be of that.
#
# TOAST (Yin, Pu, Zhou and Xue, 2024) is *self-knowledge distillation*: no teacher network, the
# student learns from targets made of its own logits. Two stages, combined linearly:
#
# 1. the hard target of a class is softened with the logits of its **class medoid**;
# 2. **under-trained** samples are shown again soon, together with what the network just said of
#    them, its **past prediction**.
#
# The source states this much **[S]**; equations and settings here are our reading **[R]**.
#
# **Predict first:** a fifth of the training labels is wrong. Which of the two will, in the end, be
# more accurate on clean test images: the network trained on the labels alone, or the one whose
# targets are partly its own opinion? And which one will be surer of itself?

# %%
from toastlab import CrossEntropyConfig, DataConfig, RunStore, ToastConfig, TrainConfig, load
from toastlab import plots

noisy = DataConfig(name="fashion-mini", noise_rate=0.2)
data = load(noisy)
print(data.note)
print(f"{len(data.train)} training, {len(data.val)} validation, {len(data.test)} test images")

# %% [markdown]
# A **run store** keeps finished runs by the hash of their settings and data. These two were trained
# beforehand and come with the repository; change a setting, say `seed=1`, and `get` trains for
# about ten seconds instead.

# %%
store = RunStore("../data/runs")
plain = store.get(TrainConfig(data=noisy, method=CrossEntropyConfig()), dataset=data)
toast = store.get(TrainConfig(data=noisy, method=ToastConfig()), dataset=data)
print(toast.config.method)

# %%
frames = {"cross-entropy": [plain.metrics], "TOAST": [toast.metrics]}
figure = plots.learning_curves(frames)
print(plots.describe_learning_curves(frames))
figure

# %% [markdown]
# Cross-entropy is best early and then gets worse: it begins to learn the wrong labels by heart.
# TOAST loses less. That is one seed; a claim needs several, and intervals:

# %%
from toastlab.peers import load_peers, select
from toastlab.report import findings, summary

stored = select(load_peers(), model="mlp", part="defaults", budget="images", setting="20 % noise")
table = select(stored, ("cross-entropy", "TOAST", "label smoothing"))
print(summary(table).drop(columns=["setting", "train s"]).to_string(index=False))
for sentence in findings(table):
    print("-", sentence)

# %% [markdown]
# Ten seeds, paired. TOAST is more accurate than cross-entropy here, about as accurate as plain label
# smoothing, and **worse calibrated** than both: its ECE is several times larger. Both sides are part
# of the result.

# %%
import torch
from toastlab.metrics import reliability_bins

bins = {}
for name, run in {"cross-entropy": plain, "TOAST": toast}.items():
    kept = run.group("predictions")
    bins[name] = reliability_bins(
        torch.from_numpy(kept["test_logits"]), torch.from_numpy(kept["test_labels"])
    )
print(plots.describe_reliability(bins))
plots.reliability(bins)

# %% [markdown]
# ## Exercises
#
# **1.** How wrong may a probability be? Write the *entropy* of a distribution `q` [..., K] in nats.
# The larger the entropy of a target, the less sure a network becomes that learns it.

# %%
from toastlab.checks import check, solution


def entropy(q):
    return ...


check("entropy", entropy)

# %% [markdown]
# **2.** In the table above, which method has the best NLL? Say why that need not be the one with the
# best accuracy. (No check: look at the reliability diagrams again.)
#
# To see a solution, run `print(solution("entropy"))`.
#
# ## What to doubt
#
# * One data set, one small network, one kind of noise. Notebook 7 changes all of that.
# * With clean labels the difference nearly disappears: see the README's tables.
# * The random carry, a control that ignores who is under-trained, does better here than the targeted
#   one. Whether *targeting* helps is open; notebook 4 looks at whom it targets.
