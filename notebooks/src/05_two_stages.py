# %% [markdown]
# # 5. The two stages, line by line
#
# *Twenty minutes of reading; runs in under 20 seconds.*
#
# **Goals.** Build TOAST's loss for one batch with nothing but PyTorch, find it equal to the
# library's; know its degenerate cases; see what each stage's gradient does to a sample.
#
# **Predict first:** a sample is misclassified with 95 % confidence. Stage 1 pulls it towards its
# class; what does stage 2 pull it towards?

# %%
import torch
import torch.nn.functional as F
from toastlab import (
    CrossEntropyConfig,
    DataConfig,
    LabelSmoothingConfig,
    Stream,
    ToastConfig,
    load,
)

data = load(DataConfig(noise_rate=0.2))
torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Flatten(), torch.nn.Linear(784, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
stream = Stream(data.train, batch_size=128)
toast = ToastConfig(medoid_weight=0.3, past_weight=1.0).build(data.train.labels, 10, 128)

for epoch in range(2):  # so that there are medoids, and a bank to make them of
    for batch in toast.batches(stream):
        logits = model(batch.images / 255)
        loss = toast.loss(logits, batch)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        toast.update(logits, batch)
print("classes with a medoid:", int(toast.medoids.exists.sum()))

# %% [markdown]
# ## One batch
#
# Two steps of the third epoch: after the first there is somebody to carry.

# %%
stream.start_epoch()
for _ in range(2):
    batch = toast.next_batch(stream)
    logits = model(batch.images / 255)
    loss = toast.loss(logits, batch)
    if not batch.carried.any():
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        toast.update(logits, batch)
carried = batch.carried
print(f"a batch of {len(batch.index)}, {int(carried.sum())} of it carried")
assert 0 < carried.sum() <= 64

# %% [markdown]
# ## Stage 1
#
# $$q_c = p(m_c; T_m),\qquad t_i = (1 - a)\, e_{y_i} + a\, q_{y_i},\qquad
# L_1 = \frac1B \sum_i -\sum_k t_{ik} \log p_k(z_i; 1)$$

# %%
a, T_m = 0.3, 2.0
# the medoids in use are those of the end of the last epoch
q = (toast.medoids.logits / T_m).softmax(1)  # [K, K]
t = (1 - a) * F.one_hot(batch.labels, 10) + a * q[batch.labels]  # [B, K]
L1 = -(t * logits.log_softmax(1)).sum(1).mean()
print(f"stage 1: by hand {L1:.4f}, by the library {loss.parts['stage1']:.4f}")
assert torch.allclose(L1, loss.parts["stage1"])

# %% [markdown]
# ## Stage 2
#
# $$L_2 = T_p^2\, \frac{1}{|C|} \sum_{i \in C}
# \mathrm{KL}\big(p(z_i^{\text{past}}; T_p)\,\|\,p(z_i; T_p)\big)$$
#
# over the carried samples $C$, with no gradient into the past.

# %%
T_p = 3.0
past = (batch.past[carried] / T_p).softmax(1)
now = (logits[carried] / T_p).log_softmax(1)
L2 = T_p**2 * (past * (past.log() - now)).sum(1).mean()
print(f"stage 2: by hand {L2:.4f}, by the library {loss.parts['stage2']:.4f}")
assert torch.allclose(L2, loss.parts["stage2"], rtol=1e-4)

# %% [markdown]
# ## Together
#
# $L = L_1 + b\, L_2$ [R]: the source states a linear combination [S], not this one.

# %%
b = 1.0
print(f"the sum: by hand {L1 + b * L2:.4f}, by the library {loss.total:.4f}")
assert torch.allclose(L1 + b * L2, loss.total, rtol=1e-4)

# %% [markdown]
# ## Degenerate cases
#
# What a new method gives in its corners is the quickest test of whether one has understood it.

# %%
def first_loss(config):
    """The loss of the first batch of a fresh method on fresh weights."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    method = config.build(data.train.labels, 10, 128)
    if hasattr(method, "end_epoch"):
        method.end_epoch()
    batch = method.next_batch(Stream(data.train, 128))
    return method.loss(net(batch.images / 255), batch).total


plain = first_loss(CrossEntropyConfig())
off = first_loss(ToastConfig(medoid_weight=0, past_weight=0))
print(f"cross-entropy {plain:.4f}, TOAST with a = b = 0 {off:.4f}")
assert torch.equal(off, plain)
smoothed = first_loss(LabelSmoothingConfig(smoothing=0.1))
uniform = first_loss(ToastConfig(medoid_weight=0.1, past_weight=0, prototype="uniform"))
print(f"label smoothing {smoothed:.4f}, stage 1 with a uniform q {uniform:.4f}")
assert torch.allclose(uniform, smoothed)

# %% [markdown]
# ## What each stage does to a sample
#
# The gradient of a soft cross-entropy with respect to the logits is $p - t$. For a sample that is
# misclassified with confidence, stage 1 points to its label and stage 2 to what the network said
# before; where that was surer still, the two disagree, and $b$ decides how much.

# %%
z = torch.tensor([4.3, 1.0, 0.0], requires_grad=True)  # says class 0; its label is 1
said = torch.tensor([[4.8, 0.6, 0.0]])  # what it said a step ago: surer still
target = 0.7 * F.one_hot(torch.tensor(1), 3) + 0.3 * torch.tensor([0.2, 0.7, 0.1])
(g1,) = torch.autograd.grad(-(target * z.log_softmax(0)).sum(), z)
kl = 9 * F.kl_div((z / 3).log_softmax(0)[None], (said / 3).softmax(1), reduction="batchmean")
(g2,) = torch.autograd.grad(kl, z)
sure, before = 100 * z.softmax(0)[0], 100 * said.softmax(1)[0, 0]
print(f"class 0 has {sure:.0f} % now and had {before:.0f} % a step ago")
for name, g in (("stage 1", g1), ("stage 2", g2)):
    rises, falls = int((-g).argmax()), int(g.argmax())
    print(f"{name}: a step raises class {rises} and lowers class {falls}; length {g.norm():.2f}")
assert (int(g1.argmax()), int(g1.argmin()), int(g2.argmax()), int(g2.argmin())) == (0, 1, 1, 0)
assert g1.norm() > 3 * g2.norm()

# %% [markdown]
# **Your prediction:** stage 2 pulls the sample back to what the network said before, its own mistake,
# and by less than stage 1 pulls it to the label.
#
# Drawn: how far one step pushes each logit (minus the gradient), for a weight $b = 1$.

# %%
from toastlab.plots import style
from toastlab.plots.style import PALETTE, new_figure

pushes = {"stage 1": -g1.numpy(), "stage 2": -g2.numpy(), "both": -(g1 + g2).numpy()}
with style():
    figure = new_figure(9, 2.6)
    for axis, (name, push) in zip(figure.subplots(1, 3, sharey=True), pushes.items()):
        axis.bar(["class 0\n(said)", "class 1\n(label)", "class 2"], push, color=PALETTE[:3])
        axis.axhline(0, color="#666666", linewidth=0.8)
        axis.set_title(name)
    figure.axes[0].set_ylabel("push on the logit")
print("Stage 1 pushes from what was said to the label; stage 2 a little back; both follow stage 1.")
figure

# %% [markdown]
# ## Exercises
#
# **1.** Write `past_kl(past, now, temperature)`: both logits [n, K], the mean over the samples of
# $T^2\,\mathrm{KL}(p(\text{past}; T)\,\|\,p(\text{now}; T))$.

# %%
from toastlab.course.judge import check, solution


def past_kl(past, now, temperature):
    return ...


check("past_kl", past_kl)

# %% [markdown]
# **2.** Why is the factor $T^2$ there? Compute the gradient of the KL at T = 1, 3, 10 with and without
# it, for the `z` and `said` above.
#
# ## What to doubt
#
# * Everything about weights and temperatures here is [R]. Another combination, one cross-entropy to a
#   mixed target, is `carried_loss="target"`.
# * The past prediction of a *carried* sample was made one step earlier: from the same image here, and
#   from another view of it where images are augmented. It is the pairing by sample that counts.
