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
print("the library finds the same sample:", medoid == int(ours.index[c]))

# %% [markdown]
# ## Medoid and mean
#
# The mean of the logits belongs to no image; the medoid is a training image that can be shown. How
# far are they apart, in units of the class's mean radius?

# %%
mean = z[members].mean(0)
radius = torch.linalg.vector_norm(z[members] - mean, dim=1)
gap = torch.linalg.vector_norm(z[medoid] - mean) / radius.mean()
closer = (radius < torch.linalg.vector_norm(z[medoid] - mean)).sum()
print(f"the medoid lies within one mean radius of the mean: {bool(gap < 1)}")
print(f"and few candidates lie nearer to the mean: {bool(closer < 0.1 * len(members))}")

# %% [markdown]
# With *squared* Euclidean distance the two agree by a short calculation,
# $\sum_j \lVert z_i - z_j \rVert^2 = n \lVert z_i - \bar z \rVert^2 + \text{const}$: the medoid is the
# sample nearest the mean, at a cost of $O(nK)$ instead of $O(n^2 K)$.

# %%
squared = class_medoids(z, labels, distance="squared-euclidean")
print("nearest the mean:", int(members[radius.argmin()]) == int(squared.index[c]))

# %% [markdown]
# The plain Euclidean one needs all pairs, or a bound that rules most samples out. The library uses
# $\sqrt{m_i}\,(1 - v_i / 2 m_i^2) \le \frac1n \sum_j d(z_i, z_j) \le \sqrt{m_i}$, where $m_i$ and
# $v_i$ are mean and variance of the *squared* distances, which cost no pairs:

# %%
square = distances.square()
m, v = square.mean(1), square.var(1, correction=0)
low, high = m.sqrt() * (1 - v / (2 * m**2)), m.sqrt()
exact = sums / len(members)
print("the bounds hold:", bool(((low <= exact + 1e-9) & (exact <= high + 1e-9)).all()))
print(f"they leave under half of the candidates: {bool((low <= high.min()).float().mean() < 0.5)}")

# %% [markdown]
# ## All classes, as images

# %%
soft = soft_targets(ours.logits, ours.exists, temperature=2.0)
images = data.train.images[ours.index.clamp(min=0)].numpy()
shown = (images, soft.numpy(), data.classes, ours.exists.numpy())
print(plots.describe_medoid_gallery(*shown))
plots.medoid_gallery(*shown)

# %% [markdown]
# A medoid can carry a wrong label: the network has come to believe it.

# %%
for k in range(data.num_classes):
    true = int(data.train.clean_labels[ours.index[k]])
    if true != k:
        print(f"the medoid of {data.classes[k]} is really a {data.classes[true]}")
print("medoids that changed from epoch to epoch:")
index = torch.from_numpy(toast.group("medoids")["index"])
print((index[1:] != index[:-1]).sum(1).tolist())

# %% [markdown]
# ## Try it

# %%
from toastlab.widgets import MedoidPanel

MedoidPanel(toast, data)

# %% [markdown]
# ## Exercises
#
# **1.** Write `medoid(z)`: logits [n, K] of one class to the position of its medoid, Euclidean.

# %%
from toastlab.checks import check, solution


def medoid(z):
    return ...


check("medoid", medoid)

# %% [markdown]
# **2.** Change the first cell to `DataConfig(noise_rate=0)` (ten seconds of training) and look at the
# soft targets again. What happened to their entropy?
#
# ## What to doubt
#
# * With the class **mean** in place of the medoid the results are the same within seed noise (README,
#   "TOAST class mean"). That a medoid can be shown is a real advantage; that it trains better is not
#   shown.
# * The soft targets here are nearly uniform over the other classes, hence close to label smoothing.
# * A medoid can be one odd image, as above. The mean cannot.
