# %% [markdown]
# # 3. Class medoids
#
# *Twenty minutes of reading; runs in under 20 seconds.*
#
# **Goals.** Build class medoids step by step from logits; know how they differ from class means,
# what they cost, and what they look like.
#
# **Predict first:** of 600 images labelled "Sneaker", a fifth wrongly, which one will stand for the
# class? Could it be an image that is not a sneaker at all?

# %%
import numpy as np
import torch
from toastlab import DataConfig, RunStore, ToastConfig, TrainConfig, class_medoids, load, soft_targets
from toastlab import plots

noisy = DataConfig(name="fashion-mini", noise_rate=0.2)
data = load(noisy)
toast = RunStore("../data/runs").get(TrainConfig(data=noisy, method=ToastConfig()), dataset=data)
bank = torch.from_numpy(toast.dynamics.logits)  # [E, N, K]: what training said, epoch by epoch
labels = data.train.labels
print(tuple(bank.shape), "epochs, samples, classes")

# %% [markdown]
# ## Step by step
#
# The bank holds the last logits that training itself produced for each sample: no extra forward
# pass. Take the last epoch and the class of sneakers.
#
# **Candidates** [R]: the samples of the class that the network classifies right,
# $S_c = \{i : y_i = c,\ \arg\max z_i = c\}$.

# %%
z = bank[-1].float()
c = data.classes.index("Sneaker")
members = ((labels == c) & (z.argmax(1) == c)).nonzero()[:, 0]
print(f"{len(members)} of {int((labels == c).sum())} samples labelled Sneaker are candidates")

# %% [markdown]
# **All pairs of distances**, $d(z_i, z_j) = \lVert z_i - z_j \rVert_2$, then the candidate whose sum
# is smallest:
#
# $$m_c = z_{i^*},\qquad i^* = \arg\min_{i \in S_c} \sum_{j \in S_c} d(z_i, z_j)$$

# %%
distances = torch.cdist(z[members].double(), z[members].double())  # [n, n]
sums = distances.sum(1)
medoid = int(members[sums.argmin()])
ours = class_medoids(z, labels)
print(f"by hand sample {medoid}, by the library sample {int(ours.index[c])}")
assert medoid == int(ours.index[c])

# %% [markdown]
# ## Medoid and mean
#
# The mean of the logits belongs to no image; the medoid is a training image that can be shown. How
# far are they apart, in units of the class's mean radius?

# %%
mean = z[members].mean(0)
radius = torch.linalg.vector_norm(z[members] - mean, dim=1)
own = radius[members == medoid]  # of the medoid itself
nearer = int((radius < own).sum())
print(f"medoid and mean are {float(own / radius.mean()):.2f} mean radii apart")
print(f"{nearer} of {len(members)} candidates lie nearer to the mean than the medoid")
assert nearer == 0

# %% [markdown]
# Nearly a third of a mean radius apart, and yet no candidate is nearer to the mean: here the medoid *is* the
# sample nearest the mean. It need not be. With *squared* Euclidean distance it always is, since
# $\sum_j \lVert z_i - z_j \rVert^2 = n \lVert z_i - \bar z \rVert^2 + \text{const}$, at a cost of $O(nK)$
# instead of $O(n^2 K)$. In how many classes do the two distances choose the same image?

# %%
squared = class_medoids(z, labels, distance="squared-euclidean")
same = int((squared.index == ours.index).sum())
print(f"the two distances choose the same image in {same} of {len(squared.index)} classes")
assert int(members[radius.argmin()]) == int(squared.index[c])

# %% [markdown]
# In most classes: on these logits the cheaper distance would nearly have done.
#
# The plain Euclidean one needs all pairs, or a bound that rules most samples out. A simpler bound than
# the library's: $\sqrt{m_i}\,(1 - v_i / 2 m_i^2) \le \frac1n \sum_j d(z_i, z_j) \le \sqrt{m_i}$, where
# $m_i$ and $v_i$ are mean and variance of the *squared* distances $d(z_i, z_j)^2$ over $j$. These cost
# no pairs. With the mean taken off, $x_i = z_i - \bar z$ and $a_i = \lVert x_i \rVert^2$, they are
#
# $$m_i = a_i + \bar a,\qquad v_i = \mathrm{var}(a) + 4\, x_i^\top M x_i - 4\, x_i^\top b,\qquad
# M = \frac1n \sum_j x_j x_j^\top,\quad b = \frac1n \sum_j a_j x_j$$
#
# and $M$ is only K x K. The library's bound is `S_i >= sqrt(T1_i^3 / T3_i)` (`toastlab/medoids/bounds.py`),
# from weighted moments of the same squared distances.

# %%
x = z[members].double() - z[members].double().mean(0)
a = x.square().sum(1)
M, b = x.T @ x / len(x), (a[:, None] * x).mean(0)  # [K, K] and [K]
m = a + a.mean()
v = a.var(correction=0) + 4 * ((x @ M) * x).sum(1) - 4 * x @ b
low, high = m.sqrt() * (1 - v / (2 * m**2)), m.sqrt()
left = int((low <= high.min()).sum())
print(f"the bound leaves {left} of {len(members)} candidates to be summed over all pairs")

square = distances.square()  # all pairs, to check only
assert torch.allclose(m, square.mean(1)) and torch.allclose(v, square.var(1, correction=0))
exact = sums / len(members)
assert bool(((low <= exact + 1e-9) & (exact <= high + 1e-9)).all())
assert bool(low[sums.argmin()] <= high.min()) and left < len(members) / 2

# %% [markdown]
# ## All classes, as images

# %%
soft = soft_targets(ours.logits, ours.exists, temperature=2.0)  # softer than the default, to look at
images = data.train.images[ours.index.clamp(min=0)].numpy()
shown = (images, soft.numpy(), data.classes, ours.exists.numpy())
other = soft[~torch.eye(data.num_classes, dtype=torch.bool)]
print(f"each other class gets {100 * other.min():.1f} to {100 * other.max():.1f} %")
default = soft_targets(ours.logits, ours.exists, ToastConfig().medoid_temperature)
print(f"at the default temperature a class keeps {100 * default.diag().mean():.1f} %")
assert other.max() < 0.2 and default.diag().min() > 0.95
plots.medoid_gallery(*shown)

# %% [markdown]
# A medoid is a training image, and a fifth of their labels is wrong. Which of them are candidates, and
# which become medoids, under cross-entropy and under TOAST?

# %%
from toastlab import CrossEntropyConfig

plain = RunStore("../data/runs").get(
    TrainConfig(data=noisy, method=CrossEntropyConfig()), dataset=data
)
true = data.train.clean_labels
mixed = {}
for name, run in {"cross-entropy": plain, "TOAST": toast}.items():
    last = torch.from_numpy(run.dynamics.logits[-1]).float()
    candidate = last.argmax(1) == labels
    mixed[name] = float((true != labels)[candidate].float().mean())
    of = class_medoids(last, labels).index
    wrong = int((true[of] != labels[of]).sum())
    print(f"{name}: {100 * mixed[name]:.0f} % of the candidates and {wrong} of {len(of)} medoids "
          "have a wrong label")
    assert wrong == 0
index = torch.from_numpy(toast.group("medoids")["index"])
changed = (index[1:] != index[:-1]).sum(1)
print("TOAST's medoids that changed from epoch to epoch:", changed.tolist())
assert mixed["TOAST"] < mixed["cross-entropy"] / 2

# %% [markdown]
# **Your prediction:** the image that stands for the sneakers is a sneaker, and no class is represented by
# a stranger. Under cross-entropy 15 % of the candidates have a wrong label, learnt by heart; under TOAST
# 7 %. But they lie apart from the others, and what is central is no stranger.
#
# ## Try it

# %%
from toastlab.widgets import MedoidPanel

MedoidPanel(toast, data)

# %% [markdown]
# ## Exercises
#
# **1.** Write `medoid(z)`: logits [n, K] of one class to the position of its medoid, Euclidean.

# %%
from toastlab.course.judge import check, solution


def medoid(z):
    return ...


check("medoid", medoid)

# %% [markdown]
# **2.** Change the first cell to `DataConfig(noise_rate=0)` (ten seconds of training) and look at the
# soft targets again. What happened to their entropy?
#
# ## What to doubt
#
# * With the class **mean** in place of the medoid accuracy is about the same, see "Medoids help" in
#   [docs/claims.md](../docs/claims.md). That a medoid can be shown is a real advantage.
# * At the default temperature, 0.5, a soft target is nearly hard at the end: stage 1 does little then.
#   Softer ones make the network unsure of itself; notebook 11 says why.
# * A medoid can be one odd image. The mean cannot.
