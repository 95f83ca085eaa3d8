# %% [markdown]
# # 2. Soft targets and temperature
#
# *Fifteen minutes of reading, half an hour of exercises; runs in under 20 seconds.*
#
# **Goals.** Know what a hard and a soft target are, and what the temperature does. See what a network's
# small probabilities tell about the classes, and how long they tell it.
#
# A label $y$ becomes a *hard* target $e_y$: all probability on one class. A *soft* target is any other
# distribution over the classes. From logits $z$ one gets, at a **temperature** $T$,
#
# $$p_k(z; T) = \frac{\exp(z_k / T)}{\sum_j \exp(z_j / T)}$$

# %%
import numpy as np
import torch
from toastlab import plots
from toastlab.course import Prediction, check, discuss, hint, solution
from toastlab.course.runs import course_data, course_runs, families, relatives
from toastlab.plots.style import PALETTE, new_figure, style
from toastlab.widgets import TargetPanel

data, runs = course_data(), course_runs("../data/runs")  # a fifth of the training labels is wrong
labels, names, related = data.train.labels, data.classes, relatives(data.classes)
logits = {e: torch.from_numpy(runs["cross-entropy"].dynamics.logits[e - 1]).float() for e in (3, 30)}
shirt = names.index("Shirt")
seen = {e: (labels == shirt) & (z.argmax(1) == shirt) for e, z in logits.items()}  # recognised shirts
second = {e: z.topk(2, dim=1).indices[:, 1] for e, z in logits.items()}  # each sample's runner-up

usual = second[3][seen[3]].mode().values
i = int((seen[3] & seen[30] & (second[3] == usual)).nonzero()[0, 0])  # a rule, not a choice
targets = {f"T = {t}": (logits[3][i] / t).softmax(0).numpy() for t in (1, 5)}
plots.soft_target_bars(data.train.images[i].numpy(), targets, names, shirt)

# %% [markdown]
# One shirt of the training images, and what a network trained with cross-entropy says of it after epoch 3.
# At $T = 1$ that is the softmax itself; more is softer. The second choice, the **runner-up**, is a garment
# like it.
#
# **Predict first:** is that so for most shirts? Four of the nine other classes cover the upper body, too.

# %%
early = Prediction(
    "After epoch 3, how many recognised shirts have another garment for the upper body as runner-up?",
    a="about four in nine, as by lot: the labels said nothing about likeness",
    b="about two in three",
    c="nearly all",
)
early.choose(...)

# %%
late = Prediction(
    "And after epoch 30, when the network has learnt most of its labels by heart?",
    a="as many as before, or more",
    b="clearly fewer",
    c="none",
)
late.choose(...)

# %% [markdown]
# ## Early and late

# %%
near = {}
for epoch in (3, 30):
    found = second[epoch][seen[epoch]]
    near[epoch] = float(related[shirt, found].float().mean())
    counts = found.bincount(minlength=len(names))
    most = ", ".join(f"{names[k]} {counts[k]}" for k in counts.argsort(descending=True)[:4])
    print(f"after epoch {epoch}: {len(found)} recognised shirts, {100 * near[epoch]:.0f} % with a related "
          f"runner-up; most frequent: {most}")
assert near[3] > 0.9 and 4 / 9 < near[30] < near[3] - 0.15
early.answer("c")

# %%
late.answer("b")

# %% [markdown]
# **Your prediction:** nearly all at first, and clearly fewer at the end. A network that was told single
# labels only, a fifth of them wrong, finds out early what looks alike. Such *dark knowledge* in the small
# probabilities (Hinton, Vinyals and Dean, 2015) is then overwritten by what it learns by heart.
#
# Is it lost? Average the probabilities of all recognised samples of a class: a confusion of degrees. Rows
# are classes, columns what else they were taken for; frames hold related garments.

# %%
def degrees(z):
    """Mean probabilities of the recognised samples of each label: [N, K] to [K, K]."""
    p, right = z.softmax(1), z.argmax(1) == labels
    return torch.stack([p[right & (labels == c)].mean(0) for c in range(len(names))])

mean = {f"epoch {e}": degrees(z).numpy() for e, z in logits.items()}
for q in mean.values():
    others = np.where(np.eye(len(names), dtype=bool), 0, q).argmax(1)
    assert related.numpy()[np.arange(len(names)), others].sum() >= 6
plots.degrees_view(mean, names, families(names))

# %% [markdown]
# Not in the mean: averaged over a class, most runners-up are relatives to the end. What each sample has
# learnt by heart is its own, and cancels out. Notebook 3 looks at targets made of one sample a class.
#
# ## Temperature is not free
#
# A higher temperature gives more to the other classes, and comes nearer to *uniform*, which is label
# smoothing. The entropy says where between hard and uniform a target lies.

# %%
T = np.geomspace(0.25, 16, 13)
entropy = {e: [float(torch.special.entr((z / t).softmax(1)).sum(1).mean() / np.log(10)) for t in T]
           for e, z in logits.items()}
with style():
    figure = new_figure(7, 2.5)
    axis = figure.subplots()
    for (e, values), look, colour in zip(entropy.items(), ("o-", "s--"), PALETTE):
        axis.plot(T, 100 * np.array(values), look, color=colour, label=f"after epoch {e}")
    axis.set(xscale="log", xlabel="temperature T", ylabel="entropy (% of log 10)", ylim=(0, 102))
    axis.set_xticks([0.25, 1, 4, 16], ["0.25", "1", "4", "16"])
    axis.set_title("From hard to uniform; the late network is the harder one")
    axis.legend()
at = int(np.abs(T - 1).argmin())
figure.alt = "Mean entropy of the soft targets at T = 1, in % of log 10: " + ", ".join(
    f"{100 * values[at]:.0f} after epoch {e}" for e, values in entropy.items())
print(figure.alt)
assert all(a > b for a, b in zip(entropy[3], entropy[30])) and entropy[30][-1] > 0.95
figure

# %% [markdown]
# ## Try it
#
# The soft target $q$ of a class, made of its medoid's logits (notebook 3), and the target that a sample of
# the class is trained on, $t = (1 - a)\, e_y + a\, q$. Press *play*: what becomes of the grey bars?

# %%
TargetPanel(runs["TOAST"], data)

# %% [markdown]
# ## Exercises
#
# **1.** Write `soften(z, temperature)`: logits [..., K] to a distribution over the last dimension.

# %%
def soften(z, temperature):
    return ...

check("soften", soften)

# %% [markdown]
# **2.** Write `runner_up(z, labels)`: logits [n, K] and labels [n] to the class with the largest logit but
# the label's own, [n].

# %%
def runner_up(z, labels):
    return ...

check("runner_up", runner_up)

# %% [markdown]
# **3.** Write `degrees(p, labels)`: probabilities [N, K] and labels [N] to their means by class, [K, K].

# %%
def degrees(p, labels):
    return ...

check("degrees", degrees)

# %% [markdown]
# **4.** Write `class_target(q, label, weight)`: the target of a sample of class `label` whose soft target
# is `q` [K].

# %%
def class_target(q, label, weight):
    return ...

check("class_target", class_target)

# %% [markdown]
# **5.** Why not simply choose a very high temperature?

# %%
mine = """
"""
discuss("too_soft", mine)

# %% [markdown]
# **6.** How would you find out whether it matters *which* classes get the rest of the probability?

# %%
mine = """
"""
discuss("who_gets_it", mine)

# %% [markdown]
# ## What to doubt
#
# * These logits come from a network trained on noisy labels: part of the softness is the noise. With right
#   labels next to nothing is overwritten; notebook 3 shows it.
# * Which garments are related is our choice, made from their names.
# * Whether it matters which classes get the rest is open here: label smoothing gives all of them the same.
#   Notebook 9 compares.
