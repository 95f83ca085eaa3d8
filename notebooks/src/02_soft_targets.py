# %% [markdown]
# # 2. Soft targets and temperature
#
# *Fifteen minutes of reading; runs in under 15 seconds.*
#
# **Goals.** Know what a hard and a soft target are, what the temperature does, and what a network's
# mistakes know about the classes.
#
# **Predict first:** a network that has seen only single labels is shown a shirt. Which classes get
# the rest of its probability, and does it matter which?

# %%
import numpy as np
import torch
from toastlab import CrossEntropyConfig, DataConfig, RunStore, ToastConfig, TrainConfig, load
from toastlab import plots

noisy = DataConfig(name="fashion-mini", noise_rate=0.2)
data = load(noisy)
store = RunStore("../data/runs")
plain = store.get(TrainConfig(data=noisy, method=CrossEntropyConfig()), dataset=data)
toast = store.get(TrainConfig(data=noisy, method=ToastConfig()), dataset=data)

# %% [markdown]
# ## Hard and soft
#
# A label $y$ becomes a *hard* target $e_y$: all probability on one class. A *soft* target is any
# other distribution over the classes. From logits $z$ one gets
#
# $$p_k(z; T) = \frac{\exp(z_k / T)}{\sum_j \exp(z_j / T)}$$
#
# with a **temperature** $T$: 1 is the softmax itself, more is softer.

# %%
kept = plain.group("predictions")
logits = torch.from_numpy(kept["test_logits"])
labels = torch.from_numpy(kept["test_labels"])
shirt = data.classes.index("Shirt")
i = int(((labels == shirt) & (logits.argmax(1) == shirt)).nonzero()[0])
z = logits[i]
targets = {f"T = {t}": (z / t).softmax(0).numpy() for t in (1, 3, 10)}
image = data.test.images[i].numpy()
print(plots.describe_soft_target_bars(image, targets, data.classes, shirt))
plots.soft_target_bars(image, targets, data.classes, shirt)

# %% [markdown]
# ## What mistakes know
#
# Average the *probabilities* of all test images of a class: a confusion of degrees. A network that
# was never told that a shirt resembles a T-shirt says so.

# %%
p = logits.softmax(1)
mean = torch.stack([p[labels == c].mean(0) for c in range(data.num_classes)]).numpy()
for c in range(data.num_classes):
    others = mean[c].copy()
    others[c] = 0
    k = int(others.argmax())
    print(f"{data.classes[c]:12s} is taken for {data.classes[k]}")

# %% [markdown]
# ## Temperature is not free
#
# Higher temperature: more weight on the other classes, but also a target nearer to *uniform*, which
# is label smoothing. The entropy says where between the two ends it lies: 0 nats is hard,
# $\log 10 = 2.30$ nats is uniform.

# %%
for t in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
    q = (logits / t).softmax(1)
    entropy = -torch.special.xlogy(q, q).sum(1).mean()
    print(f"T = {t:4.1f}: mean entropy between hard and uniform: {entropy / np.log(10):4.0%}")

# %% [markdown]
# ## Try it
#
# The soft target of a class, made of its medoid's logits (notebook 3), and the target that a sample
# of that class is trained on, $t = (1 - a)\, e_y + a\, q$.

# %%
from toastlab.widgets import TargetPanel

TargetPanel(toast, data)

# %% [markdown]
# ## Exercises
#
# **1.** Write `soften(z, temperature)`: logits [..., K] to a distribution over the last dimension.

# %%
from toastlab.checks import check, solution


def soften(z, temperature):
    return ...


check("soften", soften)

# %% [markdown]
# **2.** Write `class_target(q, label, weight)`: the target of a sample of class `label` whose soft
# target is `q` [K].


# %%
def class_target(q, label, weight):
    return ...


check("class_target", class_target)

# %% [markdown]
# Solutions: `print(solution("soften"))`, `print(solution("class_target"))`.
#
# ## What to doubt
#
# * These logits come from a network trained on noisy labels: part of the softness is the noise.
# * After long training on clean labels logits grow and the targets at T = 1 are almost one-hot:
#   nothing is softened. Watch the entropy.
