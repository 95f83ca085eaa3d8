# %% [markdown]
# # 11. Which reading fits the abstract?
#
# *Twenty-five minutes of reading; stored runs and two short ones, so that it runs in under 40 seconds.*
#
# **Goals.** Tell what TOAST's abstract states from what it leaves open; see what the readings teach one
# and the same sample; know in closed form how sure a network can become under stage 1; judge
# readings by the claims that they should make true.
#
# **Predict first:** a trouser is labelled Sandal by mistake. The network still says Trouser, so the
# sample counts as misclassified and is carried. Which of three losses teaches it the wrong label again:
# the KL to its past prediction alone, label and KL, or one target mixed of both? And: a network fits
# its own softened targets perfectly, epoch after epoch, at medoid weight 0.3 and $T_m = 2$. How sure
# does it become?

# %%
import textwrap
from typing import get_args, get_type_hints

import numpy as np
import torch
from toastlab import Batch, DataConfig, RunStore, ToastConfig, TrainConfig, plots
from toastlab.course.runs import course_data, course_runs

data = course_data()
run = course_runs("../data/runs")["TOAST"]
labels = torch.from_numpy(run.dynamics.labels)
flipped = run.dynamics.flipped
print(f"{len(labels)} training images, {flipped.sum()} of them with a flipped label")

# %% [markdown]
# ## What the abstract says, and what it leaves open
#
# We have the abstract of the paper and its keywords, not its equations.
#
# * **[S]** Stage 1: hard targets are softened with class medoids made of the logits of each class.
# * **[S]** Stage 2: under-trained data are *distilled*, iteratively, with past predictions of half a
#   batch.
# * **[S]** Both are combined linearly.
#
# **[R]**, our reading, is everything else: what a carried sample's own loss is, who is under-trained,
# how often one is carried, temperatures, weights. Each is an option; these have a few choices each:

# %%
hints, default = get_type_hints(ToastConfig), ToastConfig()
for name in ("carried_loss", "criterion", "source", "layout", "scope", "no_candidate", "distance"):
    choices = ", ".join(get_args(hints[name]))
    print(f"{name:13s} {getattr(default, name)!s:14s} of: {choices}")

# %% [markdown]
# ## What a carried sample is taught
#
# With $t$ the target of stage 1, $e_y$ the label and $p^{\text{past}}$ the past prediction at $T_p$, a
# carried sample with logits $z$ can be taught **[R]**
#
# * *distilled only*: $b\, T_p^2\, \mathrm{KL}(p^{\text{past}} \,\|\, p(z; T_p))$. Its label is not shown
#   again.
# * *label and KL*: $\mathrm{CE}(t, p(z))$, and that KL.
# * *mixed target*: $\mathrm{CE}\big(t + b\,(p^{\text{past}} - e_y),\; p(z)\big)$, where $a + b \le 1$.
#
# and, **ours**, *mixed by confidence*: $\mathrm{CE}\big((1 - s)\,t + s\,p^{\text{past}},\; p(z)\big)$
# with $s = b \max_k p^{\text{past}}_k$: what the network is sure of counts for more than the label.
#
# The push on the logits, minus the gradient, follows on paper: $t - p$ of a cross-entropy,
# $b\, T_p\, (p^{\text{past}} - p(z; T_p))$ of the KL. For all flipped samples that the network got wrong
# after epoch 9, with their logits of epoch 10, by hand and by the library:

# %%
a, b, T_m, T_p = 0.3, 0.7, 1.0, 1.0
past, now = (torch.from_numpy(run.dynamics.logits[e].astype(np.float32)) for e in (8, 9))
chosen = torch.from_numpy(flipped) & (past.argmax(1) != labels)
past, now, y = past[chosen], now[chosen], labels[chosen]
medoids = torch.from_numpy(run.group("medoids")["logits"][8].astype(np.float32))

hard = torch.eye(10)[y]
t = (1 - a) * hard + a * (medoids / T_m).softmax(1)[y]
p, p_past = now.softmax(1), (past / T_p).softmax(1)
kl = b * T_p * (p_past - (now / T_p).softmax(1))
by_hand = {"distilled": kl, "label-and-kl": t - p + kl, "target": t + b * (p_past - hard) - p}
s = b * p_past.amax(1, keepdim=True)
by_hand["confidence"] = (1 - s) * t + s * p_past - p

n, rows = len(y), torch.arange(len(y))
batch = Batch(
    index=rows, images=torch.zeros(n, 1), labels=y, carried=torch.ones(n, dtype=torch.bool),
    past=past, visits=rows * 0, partner=rows, partner_labels=y, weight=torch.ones(n),
)
truth = torch.from_numpy(run.dynamics.clean_labels)[chosen]
to_label = {"drawn newly": float((t - p)[rows, y].mean())}
print(f"{n} samples; mean push on the logit of the wrong label, and of the true class:")
print(f"{'drawn newly':13s} {to_label['drawn newly']:+.2f} {(t - p)[rows, truth].mean():+.2f}")
for reading, wanted in by_hand.items():
    config = ToastConfig(
        carried_loss=reading, medoid_weight=a, past_weight=b, medoid_temperature=T_m,
        past_temperature=T_p, ramp="none",
    )
    toast = config.build(y, 10, n - n % 2)
    toast.table = (1 - a) * torch.eye(10) + a * (medoids / T_m).softmax(1)
    z = now.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(toast.loss(z, batch).total, z)
    push = -n * gradient  # the loss is a mean over the batch
    assert torch.allclose(push, wanted, atol=1e-4)
    to_label[reading] = float(push[rows, y].mean())
    print(f"{reading:13s} {to_label[reading]:+.2f} {push[rows, truth].mean():+.2f}")
assert abs(to_label["distilled"]) < 0.1 * to_label["drawn newly"]
assert to_label["label-and-kl"] > 0.8 * to_label["drawn newly"]
assert 0.1 < to_label["target"] / to_label["drawn newly"] < 0.5

# %% [markdown]
# **Your prediction:** *label and KL* teaches the wrong label a second time, about as hard as when the
# sample was drawn newly; the *mixed target* a part of it, what its weights leave to the label, and less
# of it where the network is sure and its confidence is the weight; *distilled only* holds the sample to
# what the network said. For a right label that the network has not learnt yet
# one would want the opposite, to see it again. Which of the two are carried more often?

# %%
visits = run.dynamics.carried.sum(0, dtype=np.int64)
share = visits[flipped].sum() / max(1, visits.sum())
print(f"of {visits.sum()} carried visits in this run {100 * share:.0f} % were of flipped labels, "
      f"which are {100 * flipped.mean():.0f} % of the images")

# %% [markdown]
# ## Try it
#
# One real sample of the stored run. Switch the reading; take a flipped label, a right one that is
# misclassified, and one that is learnt; move the epoch. Grey is what the network says, blue what the
# sample is taught when it is drawn newly, orange what it is pulled towards when it is carried: the point
# where the library's loss has its minimum.

# %%
from toastlab.widgets import ReadingPanel

ReadingPanel(run, data)

# %% [markdown]
# ## How sure a network can become
#
# Stage 1 trains a class on $t = (1 - a)\, e + a\, q$, and $q$ comes from the network's own logits. Say
# that it fits its target, and that the other $K - 1$ classes share the rest equally. From its
# probability $p$ of the right class, the next target gives that class
#
# $$g(p) = 1 - a + a\, q(p; T_m),\qquad
# q(p; T) = \frac{p^{1/T}}{p^{1/T} + (K - 1)\left(\frac{1 - p}{K - 1}\right)^{1/T}}$$
#
# and on it goes, $p \leftarrow g(p)$:

# %%
from toastlab.analysis.fixed_point import fixed_point, fixed_points


def g(p, a, T, K=10):
    own, other = p ** (1 / T), ((1 - p) / (K - 1)) ** (1 / T)
    return 1 - a + a * own / (own + (K - 1) * other)


for T in (0.5, 1.0, 2.0, 3.0):
    p, path = 0.99, []
    for _ in range(200):
        p = g(p, 0.3, T)
        path.append(p)
    steps = ", ".join(f"{x:.3f}" for x in path[:4])
    print(f"T_m {T:3.1f}: {steps}, ..., {path[-1]:.2f}; in closed form {fixed_point(0.3, T, 10):.2f}")
    assert abs(path[-1] - fixed_point(0.3, T, 10)) < 1e-9
assert fixed_point(0.3, 1.0, 10) == 1 and round(fixed_point(0.3, 2.0, 10), 2) == 0.83

# %% [markdown]
# At $T_m = 1$ the distance to 1 shrinks by the factor $a$ with each new medoid: the softening fades by
# itself as the network fits. A warm medoid, $T_m > 1$, is always less sure than the network; $p = 1$ is
# then unstable, and the network comes to rest at one value below it.

# %%
grid = sorted({round(0.05 * i, 2) for i in range(19)} | {default.medoid_weight})
temperatures = sorted({1.0, 1.5, 2.0, 3.0, 8.0} | {default.medoid_temperature})
ends = fixed_points(grid, temperatures, 10)
marks = sorted({(0.3, 1.0), (0.3, 2.0), (default.medoid_weight, default.medoid_temperature)})
print(textwrap.fill(plots.describe_fixed_point_view(ends, marks), 96))
plots.fixed_point_view(ends, marks)

# %% [markdown]
# **Your prediction:** it becomes 0.83 sure and no more: right answers that it gives with certainty are 17
# points under-confident by construction. Does a real network do that? Stage 1 alone on 500 images with
# right labels, long enough to learn them all:

# %%
from tempfile import TemporaryDirectory

sure = {}
for T in (2.0, 1.0):
    config = TrainConfig(
        data=DataConfig(per_class=50), epochs=60, batch_size=64, evaluate_every=60, record="logits",
        method=ToastConfig(
            medoid_weight=0.3, past_weight=0, medoid_temperature=T, prototype="medoid", ramp="none"
        ),
    )
    with TemporaryDirectory() as folder:
        made = RunStore(folder).get(config, device="cpu")
        own, kept = made.dynamics, made.group("predictions")
    p = torch.from_numpy(own.logits[-1].astype(np.float32)).softmax(1)
    p = p[torch.arange(len(p)), torch.from_numpy(own.labels)]
    test = torch.from_numpy(kept["test_logits"]).softmax(1)
    right = (test.argmax(1) == torch.from_numpy(kept["test_labels"])).float().mean()
    sure[T] = float(p.median())
    print(f"T_m {T:g}: median p of the training labels {sure[T]:.4f}; "
          f"on test images {test.amax(1).mean():.4f} sure, {right:.4f} right")
    assert own.correct[-1].mean() > 0.99 and abs(sure[T] - fixed_point(0.3, T, 10)) < 0.03
    assert (test.amax(1).mean() < right) == (T == 2)

# %% [markdown]
# It does, nearly to the point. On *test* images, which it gets wrong more often, such a network is
# under-confident at $T_m = 2$ and over-confident at $T_m = 1$: what is right there depends on how much it
# over-fits, and has to be measured.
#
# ## The readings, held against the claims
#
# A study (`toastlab study run readings`) raced many readings on the validation split and held the best,
# with the literal one and the default of before for reference, against what the abstract claims, on ways
# to train that the race had not seen: equal new samples, paired seeds, test split, last epoch.

# %%
from toastlab.analysis.statistics import BASELINE
from toastlab.studies import reading_claims
from toastlab.studies.catalogue import STUDIES
from toastlab.studies.reading_pool import BEFORE, canonical, label_of, reading_of
from toastlab.studies.readings import HEADLINE

final, race = STUDIES["readings"].load("final"), STUDIES["readings"].load("race")
found = reading_claims.pairs(final)
order = reading_claims.counts(found)
entered = race[race.reading != BASELINE].reading.nunique()
print(f"{entered} readings raced in {race.cell.nunique()} ways to train; {len(order)} in the final: "
      f"{final.seed.nunique()} seeds, {final.cell.nunique()} other ways")
print(f"{found.p_holm.notna().sum()} comparisons, p after Holm's correction over all of them\n")
for claim in reading_claims.CLAIMS:
    print(f"{claim.short:13s} {'[S]' if claim.source else '[ours]':6s} {claim.text}")
judged = final.seed.nunique() >= reading_claims.LEAST_SEEDS
if judged:
    print("\n" + textwrap.fill(plots.describe_claims_view(found, list(order.reading)), 96))
else:  # a picture of it would say that no claim holds
    print(f"\nThe final is under way: with fewer than {reading_claims.LEAST_SEEDS} seeds no claim is "
          "judged yet, and what follows shows gains only.")
plots.claims_view(found, list(order.reading)) if judged else None

# %% [markdown]
# A reading is named by what it sets otherwise than the literal one. From above: least harm first (clearly
# worse than cross-entropy in top-1, NLL or ECE), then most claims. In numbers, for one of the ways to
# train, the first reading, the literal one and the kit's default, now and before: the gain over the rival
# of each claim with its 95 % interval, and in how many of all ways to train the claim holds / fails. All
# readings are in `docs/readings.md`.

# %%
print(HEADLINE.name)
now, before = label_of(canonical(default)), label_of(canonical(BEFORE))
few = [name for name in order.reading if name in (order.reading[0], "literal", now, before)]
reading_claims.table(final).set_index("reading").loc[few].T

# %% [markdown]
# What this says of the kit's default, and of the one before:

# %%
asked = sum(claim.source for claim in reading_claims.CLAIMS)
for name, words in {before: "the default before", now: "the default now"}.items():
    place = order.index[order.reading == name]
    if not len(place):
        print(f"{words}, “{name}”, was not in the final.")
        continue
    row = order.loc[place[0]]
    print(f"{words}, “{name}”:\n  place {place[0] + 1} of {len(order)}; {row.claims} of the {asked} "
          f"claims of the abstract, harm in {row.harm} comparisons, mean gain {row.gain:+.1f} points")
    mine = found[found.reading == name]
    for verdict in ("holds", "fails", "diverged"):
        cells = mine[mine.verdict == verdict].groupby("claim", sort=False).size()
        some = ", ".join(f"{claim} in {n}" for claim, n in cells.items())
        print(f"  {verdict}: {some or 'nowhere'}")

# %% [markdown]
# ## Does it matter what a carried sample is taught?
#
# The first round of the race tried every reading with one seed. Each mark is a reading, sorted by what
# a carried sample is taught: its gain in validation top-1 over cross-entropy, mean over the ways to train
# with right and with wrong labels.

# %%
from dataclasses import replace

from toastlab.plots.style import FLAG, PALETTE, new_figure, style
from toastlab.studies.reading_pool import LITERAL

first = race[(race["round"] == 0) & (race.reading != BASELINE)]
plain = race[(race["round"] == 0) & (race.reading == BASELINE)].set_index("cell")
configs = {name: reading_of(name) for name in first.reading.unique()}
first = first.assign(
    taught=[configs[name].carried_loss for name in first.reading],
    T_m=[configs[name].medoid_temperature for name in first.reading],
    labels=np.where(first.cell.str.contains("clean"), "right labels", "wrong labels"),
    gain=100 * (first.val_top1 - first.cell.map(plain.val_top1)),
    ece=100 * (first.val_ece - first.cell.map(plain.val_ece)),
)
carry = first[[configs[name].past_weight > 0 for name in first.reading]]
each = carry.groupby(["labels", "taught", "reading"]).gain.mean()
middle = each.groupby(["labels", "taught"]).median().unstack()  # some readings fail by far
alone = {t: label_of(canonical(replace(LITERAL, carried_loss=t))) for t in ("distilled", "label-and-kl")}
with style():
    figure = new_figure(9.4, 2.9)
    for axis, (kind, row) in zip(figure.subplots(1, 2, sharey=True), middle.iterrows()):
        for i, taught in enumerate(row.index):
            dots = each[kind, taught]
            axis.plot(dots, i + np.linspace(-0.25, 0.25, len(dots)), "o", color=PALETTE[0], ms=4, alpha=0.5)
            axis.plot(row[taught], i, "D", color=FLAG, ms=9)
        axis.axvline(0, color="#444444", linewidth=1)
        axis.set_yticks(range(len(row)), row.index)
        axis.set(xlabel="gain in validation top-1 (points)", title=f"{kind}: most with {row.idxmax()}")
for kind, row in middle.iterrows():
    parts = ", ".join(f"{taught} {round(gain, 1) + 0.0:+.1f}" for taught, gain in row.items())
    pair = [each[kind, taught, name] for taught, name in alone.items()]
    print(f"{kind}, median over readings: {parts}; changed alone, all else literal: "
          f"distilled {pair[0]:+.1f}, label-and-kl {pair[1]:+.1f}")
sizes = each.groupby("taught").size() // len(middle)
print("readings:", ", ".join(f"{taught} {n}" for taught, n in sizes.items()))
print("Blue: one reading each; the diamond: their median; right of the line it beats cross-entropy.")
figure

# %% [markdown]
# And the temperature of the medoid, by the ECE against that of cross-entropy (below zero is better): the
# closed form says that warm medoids leave a network less sure; whether that is too little depends on how
# over-confident it would have been.

# %%
soft = first[[configs[name].medoid_weight > 0 for name in first.reading]]
errors = soft.groupby(["labels", "T_m"]).ece.median().unstack()
for kind, row in errors.iterrows():
    parts = ", ".join(f"T_m {T:g}: {round(error, 1) + 0.0:+.1f}" for T, error in row.items())
    print(f"{kind}: median ECE, points against cross-entropy: {parts}; best at T_m {row.idxmin():g}")

# %% [markdown]
# ## Exercises
#
# **1.** Write `softened(p, temperature, classes)`: from the probabilities `p` [n] of the right class,
# the others sharing the rest equally, what the right class has after its logits are divided by the
# temperature.

# %%
from toastlab.course.judge import check, solution


def softened(p, temperature, classes):
    return ...


check("softened", softened)

# %% [markdown]
# **2.** Write `ends_at(weight, temperature, classes)`: where $p \leftarrow g(p)$ ends, from
# $p = 1 - a$ on.


# %%
def ends_at(weight, temperature, classes):
    return ...


check("ends_at", ends_at)

# %% [markdown]
# **3.** In the panel, take a flipped label, *label and KL*, and raise $b$. From which $b$ on is the sample
# pulled nearer to what the network said before than to its wrong label? What does that cost a right
# label that the network has not learnt?
#
# Solutions: `print(solution("softened"))`, `print(solution("ends_at"))`.
#
# ## What to doubt
#
# * That a reading makes the abstract's claims true does not show that the authors meant it. One data
#   set, small networks, noise of our making: another reading may win elsewhere.
# * The readings in the final are the winners of a race on the same data set, on other ways to train. The
#   gains of winners shrink when they are measured again; that is why the final has new seeds, ways to
#   train and the test split.
# * The medians of the last section mix settings that were drawn together with ones tried alone around the
#   literal reading; they say what a choice does on average, not what it does in the best reading. They
#   are of one seed.
# * The closed form wants a perfect fit and equal other classes. With wrong labels, or early in training, a
#   network is less sure than it allows.
# * The panel's past prediction is an epoch old, that of a carried sample one step. In between less
#   changes, and the KL pulls less.
