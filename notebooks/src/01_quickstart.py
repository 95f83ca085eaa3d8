# %% [markdown]
# # 1. Quickstart: TOAST where labels are wrong
#
# *Five minutes of reading; ten minutes of exercises; runs in under 20 seconds.*
#
# **Goals.** See what wrong labels do to a network, and what TOAST makes of it. Know how sure one may be of that.
#
# TOAST (Yin, Pu, Zhou and Xue, 2024) is *self-knowledge distillation*. There is no teacher: a network learns
# from targets made of its own logits. In two stages, combined linearly **[S]**:
#
# 1. the hard target of a class is softened with the logits of its **class medoid**;
# 2. **under-trained** samples are distilled from **past predictions** of the network itself.
#
# [S] is what the source states. Everything else, such as weights and temperatures, is our reading **[R]**.

# %%
from toastlab import CrossEntropyConfig, RunStore, ToastConfig, TrainConfig, plots
from toastlab.course import Prediction, check, discuss, hint, solution
from toastlab.course.runs import NOISY, course_data

data = course_data()  # fashion-mini; some training labels were replaced by others on purpose
wrong = (data.train.labels != data.train.clean_labels).numpy()
captions = [data.classes[c] for c in data.train.labels[:16]]
print(f"{len(data.train)} training, {len(data.val)} validation, {len(data.test)} test images")
title = f"{100 * wrong.mean():.0f} % of the training labels are wrong"
plots.sample_gallery(data.train.images[:16].numpy(), captions, wrong[:16], title, "with a wrong label", wide=1.0)

# %% [markdown]
# **Predict first:** a small network is trained on these labels for thirty epochs, with plain cross-entropy. The
# test images have their right labels.

# %%
when = Prediction("After which epoch does it get most test images right?", a="the last", b="about the twentieth",
                  c="one of the first ten")
when.choose(...)

# %% [markdown]
# A **run store** keeps finished runs. These two come with the repository; change a setting, say `seed=1`, and `get`
# trains for about ten seconds instead.

# %%
store, methods = RunStore("../data/runs"), {"cross-entropy": CrossEntropyConfig(), "TOAST": ToastConfig()}
runs = {name: store.get(TrainConfig(data=NOISY, method=m), dataset=data) for name, m in methods.items()}
top1 = {name: 100 * run.metrics.test_top1.to_numpy() for name, run in runs.items()}
for name, curve in top1.items():
    print(f"{name}: {curve.max():.1f} % after epoch {curve.argmax() + 1}, {curve[-1]:.1f} % at the end, "
          f"{curve.max() - curve[-1]:.1f} points lost; NLL {runs[name].metrics.test_nll.iloc[-1]:.2f} at the end")
plain, toast = top1.values()
same = int((plain != toast).argmax())
print(f"the first {same} epochs are the same; after that TOAST is ahead in {(toast > plain)[same:].sum()} of {len(plain) - same}")
assert plain.argmax() < 10 and plain.max() - plain[-1] > 5 and abs(plain.max() - toast.max()) < 0.5
assert toast[-1] > plain[-1] + 0.5 and (toast > plain)[same:].mean() > 0.9 and 10 < same < 20
title = f"Wrong labels are learnt late; TOAST loses {toast.max() - toast[-1]:.1f} points and not {plain.max() - plain[-1]:.1f}"
display(plots.over_epochs(top1, "test images right (%)", title, low=None))
when.answer("c")

# %% [markdown]
# **Your prediction:** one of the first ten. Then the network learns the wrong labels by heart, and gets worse. TOAST
# is plain training until four fifths of the training labels are got right [ours]; the curves are one until there.
# From then on it learns fewer wrong labels, and loses less. It is no better than its best early epoch.
#
# ## One run is no evidence
#
# Ten seeds, paired: what each method gains over cross-entropy at the end, in three ways to train.

# %%
import pandas as pd
from toastlab.studies.reading_gains import gain, known
from toastlab.studies.readings import HELD_OUT, load

rows, (default, trusting, literal, _) = load("final"), known()
few, clean, noisy = (cell.name for cell in HELD_OUT[:3])
cells = {"a fifth of the labels wrong": noisy, "right labels": clean, "right labels, few images": few}
who = {"TOAST": (default, "whole"), "TOAST confidence": (trusting, "whole"), "TOAST literal": (literal, "whole"),
       "label smoothing": ("label smoothing", "peer"), "ELR": ("ELR", "peer")}
table = pd.DataFrame([(words, name, *gain(rows, *at, cell)) for words, cell in cells.items() for name, at in who.items()],
                     columns=["group", "name", "mean", "low", "high"])
here, there = (table[table.group == words].set_index("name") for words in (list(cells)[0], list(cells)[2]))
nll, ece = (gain(rows, default, cell=noisy, measure=m) for m in ("test_nll", "test_ece"))
print("TOAST gains with wrong labels: NLL {:+.2f} [{:+.2f}, {:+.2f}] nats,".format(*nll),
      "ECE {:+.1f} [{:+.1f}, {:+.1f}] points".format(*ece))
assert here.low["TOAST"] > 0.5 and nll[1] > 0 and ece[1] > 0 and abs(there["mean"]["TOAST"]) < 0.5
assert abs(here["mean"]["label smoothing"] - here["mean"]["TOAST"]) < 1
assert here.low["TOAST literal"] > here.high["TOAST"] and there.high["TOAST literal"] < -1
assert here.low["TOAST confidence"] > here.high["TOAST"] and here.low["ELR"] > here.high["TOAST confidence"]
title = (f"TOAST gains {here['mean']['TOAST']:+.1f} points where labels are wrong; its literal reading "
         f"{here['mean']['TOAST literal']:+.1f}, but {there['mean']['TOAST literal']:+.1f} elsewhere")
plots.gains_view(table, "points of top-1 gained over cross-entropy", title)

# %% [markdown]
# The default gains a little, about as much as plain label smoothing does. It was chosen since it does no harm in any
# of six ways to train. Two other readings gain more, and do harm in some: notebook 11 tells why. And there are
# methods that gain more still, such as ELR, which was made for wrong labels.
#
# ## Exercises
#
# **1.** Write `lost(curve)`: accuracies after each epoch, shares [E], to the points lost from the best to the last.

# %%
def lost(curve):
    return ...

check("lost", lost)

# %% [markdown]
# **2.** Write `too_sure(p, labels)`: probabilities [n, K] and labels [n] to the points by which the network is surer,
# on average, than it is right.

# %%
def too_sure(p, labels):
    return ...

check("too_sure", too_sure)

# %% [markdown]
# **3.** Write `entropy(q)`: distributions [..., K] to how unsure each is, in nats: $-\sum_k q_k \log q_k$.

# %%
def entropy(q):
    return ...

check("entropy", entropy)

# %% [markdown]
# **4.** Both networks are best after a few epochs. Why not simply stop there?

# %%
mine = """
"""
discuss("stop_early", mine)

# %% [markdown]
# ## What to doubt
#
# * Small networks, one data set, labels flipped at random. Notebook 9 takes other noise and a second network.
# * With right labels there is next to nothing to gain.
# * The weights, and when they begin to grow, were chosen on data like these.
