# %% [markdown]
# # 2. Soft targets and temperature
#
# *Fifteen minutes of reading; runs in under 20 seconds.*
#
# **Goals.** Know what a hard and a soft target are, what the temperature does, and what a network's
# mistakes tell about the classes.
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
#
# An example needs a rule, or one shows what one likes: of the test shirts that the network recognises,
# the first whose runner-up, the class of the second largest logit, is the most frequent runner-up.

# %%
kept = plain.group("predictions")
logits = torch.from_numpy(kept["test_logits"])
labels = torch.from_numpy(kept["test_labels"])
shirt = data.classes.index("Shirt")
right = ((labels == shirt) & (logits.argmax(1) == shirt)).nonzero()[:, 0]
second = logits[right].topk(2, dim=1).indices[:, 1]
counts = second.bincount(minlength=data.num_classes)
said = (f"{data.classes[k]} {counts[k]}" for k in counts.argsort(descending=True) if counts[k])
print(f"{len(right)} shirts are recognised; their runners-up: {', '.join(said)}")
tops = [data.classes.index(name) for name in ("T-shirt/top", "Pullover", "Dress", "Coat")]
related = int(counts[tops].sum())
print(f"a garment like it: {related} of {len(right)}; by lot: {len(right) * 4 / 9:.0f}")
assert data.classes[counts.argmax()] == "T-shirt/top" and related > len(right) / 2
i = int(right[second == counts.argmax()][0])
z = logits[i]
targets = {f"T = {t}": (z / t).softmax(0).numpy() for t in (1, 3, 10)}
image = data.test.images[i].numpy()
plots.soft_target_bars(image, targets, data.classes, shirt)

# %% [markdown]
# The runner-up is a T-shirt most often, but for 18 of these shirts only; for 15 it is a sneaker. This
# network has trained for 30 epochs on labels of which a fifth is wrong, and has learnt most of those
# by heart (notebook 6).
#
# ## What mistakes tell
#
# Average the *probabilities* of all test images of a class: a confusion of degrees.

# %%
p = logits.softmax(1)
mean = torch.stack([p[labels == c].mean(0) for c in range(data.num_classes)]).numpy()
for c in range(data.num_classes):
    others = mean[c].copy()
    others[c] = 0
    k = int(others.argmax())
    print(f"{data.classes[c]:12s} is taken for {data.classes[k]:12s} {others[k]:.2f}")
assert int(np.delete(mean[shirt], shirt).argmax()) == data.classes.index("T-shirt/top")

# %% [markdown]
# **Your prediction:** on average the largest share of a shirt's remaining probability, 0.16, goes to
# T-shirts: a network that was never told that the two are alike says so. Whether it *matters* which
# classes get it is another question: label smoothing gives all of them the same. Notebook 9 compares.
#
# ## Temperature is not free
#
# Higher temperature: more weight on the other classes, but also a target nearer to *uniform*, which
# is label smoothing. The entropy says where between the two ends it lies: 0 nats is hard,
# $\log 10 = 2.30$ nats is uniform.

# %%
for t in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
    q = (logits / t).softmax(1)
    entropy = -torch.special.xlogy(q, q).sum(1).mean()
    print(f"T = {t:4.1f}: mean entropy {100 * entropy / np.log(10):3.0f} % of log 10")

# %% [markdown]
# ## Try it
#
# The soft target of a class, made of its medoid's logits (notebook 3), and the target that a sample
# of that class is trained on, $t = (1 - a)\, e_y + a\, q$. Eight classes have relatives among the
# others: five cover the upper body, three are footwear. In how many is the medoid's runner-up a
# relative?

# %%
families = [[*tops, shirt], [data.classes.index(n) for n in ("Sandal", "Sneaker", "Ankle boot")]]
family = {k: set(members) for members in families for k in members}
medoids = torch.from_numpy(toast.group("medoids")["logits"])  # [E, K, K], after each epoch
told = {}
for epoch in (3, 30):
    second = medoids[epoch - 1].topk(2, dim=1).indices[:, 1].tolist()
    told[epoch] = sum(second[k] in family[k] for k in family)
    print(f"after epoch {epoch}: the runner-up is a relative in {told[epoch]} of {len(family)} classes")
assert told[3] > told[30]

# %% [markdown]
# Early the medoids know which classes are alike. At the end three of the runners-up are strangers.

# %%
from toastlab.widgets import TargetPanel

TargetPanel(toast, data)

# %% [markdown]
# ## Exercises
#
# **1.** Write `soften(z, temperature)`: logits [..., K] to a distribution over the last dimension.

# %%
from toastlab.course.judge import check, solution


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
