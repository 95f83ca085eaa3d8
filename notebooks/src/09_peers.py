# %% [markdown]
# # 9. TOAST and its peers: a comparison to believe
#
# *Twenty-five minutes of reading; from stored runs, so that it runs in under 30 seconds.*
#
# **Goals.** Compare methods on equal terms: which terms there are, what a difference over a few seeds
# allows to say, what many comparisons do to it, what tuning changes, and how calibration is compared
# honestly.
#
# **Predict first:** nine methods against TOAST, with a fifth of the labels wrong. How many lose to it
# clearly? Does that change when every method, plain cross-entropy too, may choose its settings on the
# validation split?

# %%
import pandas as pd
from toastlab import plots
from toastlab.studies.claims import CLAIMS, Claim, evidence, findings, judgement
from toastlab.studies.arms import ARMS, PEERS
from toastlab.analysis.statistics import BASELINE, differences, interval
from toastlab.bench.memory import extra_bytes
from toastlab.studies.catalogue import STUDIES
from toastlab.studies.peers import MAIN, NOISE, PAIRWISE
from toastlab.studies.rows import select
from toastlab.studies.tuning import SHARED, SPACES, TRIALS

table = STUDIES["peers"].load()
print(f"{table.run.nunique()} runs; rows per network and part:")
print(table.groupby(["model", "part"], sort=False).size().to_string())
plain = select(table, part="defaults", model="mlp")
mlp = select(plain, budget="samples")
seeds = mlp.groupby("method", sort=False).seed.nunique()
print("seeds:", ", ".join(f"{name} {n}" for name, n in seeds.items()))

# %% [markdown]
# Every row is a real run, made by `toastlab study run peers`: same initial weights and data order per seed for
# all methods, test split, last epoch. *Defaults* are the settings of each method's source. Start with
# those: the teaching MLP on 6,000 images, 30 epochs.
#
# ## Equal in what?
#
# DLB passes every sample twice, BAKE four images for each anchor, CS-KD a partner without gradient,
# Tf-KD in its self form trains a teacher first. Under **equal images** such a method gets fewer steps;
# under **equal samples** it draws as many new samples as everybody, and costs more. Both are reported,
# always.

# %%
costs = select(plain, setting="clean labels").groupby(["method", "budget"], sort=False)[
    ["total_passes", "total_gradients", "total_steps"]
].mean()
passes = costs.total_passes.unstack()
apart = passes["images"].max() / passes["images"].min() - 1
print(f"equal images: passes differ by at most {100 * apart:.0f} %")
moved = [m for m in ARMS if passes["samples"][m] != passes["images"][m]]
print("the budgets differ for:", ", ".join(moved))
assert set(moved) == {"Tf-KD self", "CS-KD", "DLB", "BAKE"} and apart < 0.03
costs = (costs.unstack() / 1000).round(1).swaplevel(axis=1)[["images", "samples"]]
costs["extra memory, KiB"] = [round(extra_bytes(ARMS[m], 6000, 10, 128) / 1024) for m in costs.index]
costs

# %% [markdown]
# In thousands: images through the network, those with a gradient, optimiser steps; and what a method
# keeps on the device beside network and data (networks of its own not counted). The rows also hold
# `seconds` and `images_per_second`; runs on a CUDA device would add `peak_memory`.
#
# ## Against cross-entropy
#
# Hollow marks: the interval contains zero.


# %%
def against(table, settings=tuple(NOISE)):
    gaps = differences(table[table.setting.isin(settings)], "test_top1")
    columns = ["mean", "low", "high", "boot_low", "boot_high"]
    return gaps.assign(**{c: 100 * gaps[c] for c in columns})


gaps = against(mlp)
print(plots.describe_forest(gaps, "top-1 points"))
plots.forest(gaps, "top-1 points")

# %% [markdown]
# The intervals are Student's t over paired seeds. A bootstrap over so few differences is too narrow: it
# cannot know what one more seed would do. Both are in the table; compare a row.

# %%
wide = gaps.assign(t=gaps.high - gaps.low, boot=gaps.boot_high - gaps.boot_low)
wide["share"] = wide.boot / wide.t
for seeds, share in wide.groupby("seeds").share.median().items():
    print(f"{seeds} seeds: the bootstrap interval is {100 * share:.0f} % as wide (median)")
    assert share < 0.9
for setting, t in wide.groupby("setting", sort=False).t.median().items():
    print(f"{setting}: a t interval reaches {t / 2:.1f} points to each side (median)")


def text(p):
    return p.map(lambda x: "< 0.001" if x < 0.0005 else f"{x:.3f}")


columns = ["method", "mean", "low", "high", "boot_low", "boot_high", "p", "p_holm", "seeds"]
noisy = gaps[gaps.setting == "20 % noise"][columns].round(3).reset_index(drop=True)
noisy.assign(p=text(noisy.p), p_holm=text(noisy.p_holm))

# %% [markdown]
# Pairwise noise, where every flipped label goes to the next class: a class's wrong labels agree with
# each other.

# %%
pairwise = select(table, part="pairwise", model="mlp")
gaps = against(pairwise, (PAIRWISE,))
print(plots.describe_forest(gaps, "top-1 points"))
plots.forest(gaps, "top-1 points")

# %% [markdown]
# Is it harder than as many labels flipped to any class? The same seeds, at the last epoch and at the
# epoch that is best on validation:

# %%
shared = ["method", "seed"]
noisy = mlp[mlp.setting == "20 % noise"].set_index(shared)
change = pairwise.set_index(shared)[["test_top1", "early_top1"]] - noisy[["test_top1", "early_top1"]]
change = 100 * change.groupby("method").mean()
lower = (change < -1e-9).sum()
print(f"last epoch: lower for {lower.test_top1} of {len(change)} methods, "
      f"cross-entropy {change.test_top1[BASELINE]:+.1f} points")
print(f"stopped early: lower for {lower.early_top1} of {len(change)} methods, "
      f"cross-entropy {change.early_top1[BASELINE]:+.1f} points")
assert lower.test_top1 > len(change) / 2 > lower.early_top1

# %% [markdown]
# At the last epoch it is, for most methods, by a point or so. Stopped early, most do better under it.
#
# ## With equal samples

# %%
more = against(select(plain, budget="samples"))
print(plots.describe_forest(more, "top-1 points"))
plots.forest(more, "top-1 points")

# %%
keys = ["setting", "method"]
added = (more.set_index(keys)["mean"] - against(mlp).set_index(keys)["mean"]).unstack("setting")
print("top-1 points, equal samples minus equal images:")
print(added.loc[moved, list(NOISE)].round(1).to_string())
assert (added.loc[moved, ["20 % noise", "40 % noise"]] < 0).all(axis=None)

# %% [markdown]
# Only Tf-KD self, CS-KD, DLB and BAKE have moved: for the others both budgets are one and the same.
# More steps are no gift where labels are wrong: all four lose by them under noise.
#
# ## TOAST against each of its peers
#
# Several comparisons at a time need a correction: here Holm's, over the nine. *Better* and *worse* now
# mean a corrected p below 0.05, and everything else is *not significant*. That is stricter than the
# hollow marks above, where each interval stands for itself.

# %%
claim = Claim("", "", "TOAST", PEERS)
each = evidence(mlp, claim)
percent = each.assign(**{c: (100 * each[c]).round(1) for c in ("mean", "low", "high")})
for setting, rows in percent.groupby("setting", sort=False):
    print(f"{setting}:", ", ".join(f"{n} {word}" for word, n in rows.verdict.value_counts().items()))
noisy = percent[percent.setting == "20 % noise"]
between = noisy[(noisy.low * noisy.high > 0) & (noisy.verdict == "not significant")].method.tolist()
print("20 % noise: interval without zero, and yet not significant:", ", ".join(between))
shown = noisy[["method", "mean", "low", "high", "p_holm", "verdict"]].reset_index(drop=True)
shown.assign(p_holm=text(shown.p_holm))

# %% [markdown]
# Positive: TOAST is ahead. *Better* and *worse* are TOAST's; the lines above count them.
#
# ## With tuned settings
#
# Defaults made for large networks on CIFAR-100 may suit some methods here better than others. So each
# method, cross-entropy too, gets the same number of trials: its defaults and four points of a Sobol
# sequence over learning rate, weight decay and at most two settings of its own. The best on the
# *validation* split is trained again with other seeds; the test split is read once, at the end.

# %%
def said(axes):
    ranges = (f"{a.name} {a.low:g} to {a.high:g}{' (log)' if a.log else ''}" for a in axes)
    return "; ".join(ranges) or "nothing of its own"


print(f"{TRIALS + 1} trials for each of {len(SPACES)} methods; all share: {said(SHARED)}")
for name, space in SPACES.items():
    print(f"{name:16s}", said(space))

# %%
tuned = select(table, part="tuned", model="mlp")
gaps = against(tuned)
print(plots.describe_forest(gaps, "top-1 points"))
plots.forest(gaps, "top-1 points")

# %% [markdown]
# The zero line is now *tuned* cross-entropy. How much did tuning add to each?

# %%
keys = ["setting", "method"]
before, after = (t.groupby(keys, sort=False).test_top1.mean() for t in (mlp, tuned))
gained = (100 * (after - before)).dropna().unstack("setting").reindex(list(SPACES)).round(1)
print(f"tuning adds most to: {gained['20 % noise'].idxmax()} under noise")
counts = {}
for part, rows in (("defaults", each), ("tuned", evidence(tuned, claim))):
    counts[part] = rows[rows.setting == "20 % noise"].verdict.value_counts()
    words = (f"{n} {word}" for word, n in counts[part].items())
    print(f"TOAST under 20 % noise, {part}:", ", ".join(words))
assert counts["defaults"]["better"] == 1 and counts["defaults"]["worse"] == 2
assert "better" not in counts["tuned"] and counts["tuned"]["worse"] == 8
gained

# %% [markdown]
# **Your prediction:** with default settings one of the nine loses to TOAST clearly, two beat it, six
# differences are not significant. Tuning changes that: none loses, eight beat it.
#
# ## Calibration, with its control
#
# A method that softens targets changes confidences. So does dividing the logits by one number that is
# fitted on the validation split, for nothing. Claims about calibration count only after that.

# %%
means = select(mlp, setting="20 % noise").groupby("method", sort=False)[
    ["test_ece", "test_ece_scaled", "test_nll", "test_nll_scaled", "temperature", "test_aurc"]
].mean()
spread = means.test_ece.max() - means.test_ece.min()
rest = means.test_ece_scaled.max() - means.test_ece_scaled.min()
print(f"ECE: {100 * spread:.0f} points between best and worst, {100 * rest:.0f} after scaling")
assert rest < spread / 4
print(f"best ranking of its own answers (AURC): {means.test_aurc.idxmin()}")
means.round(3)

# %% [markdown]
# ## Over time
#
# How many training samples a network still gets wrong at their last visit (its under-trained samples,
# by the default criterion), and what the test split says meanwhile.

# %%
curves = STUDIES["peers"].load("curves")
curves = curves[(curves.model == "mlp") & (curves.setting == "20 % noise")]
shown = [BASELINE, "label smoothing", "SELC", "GCE", "TOAST"]
frames = {name: [curves[curves.method == name]] for name in shown}
measures = ("under_trained", "test_top1", "test_nll")
print(plots.describe_learning_curves(frames, measures))
course = curves[curves.method == BASELINE].groupby("epoch")[["under_trained", "test_nll"]].mean()
best = course.test_nll.idxmin()
for epoch in (best, course.index[-1]):
    row = course.loc[epoch]
    print(f"cross-entropy, epoch {epoch}: {100 * row.under_trained:.0f} % wrong, NLL {row.test_nll:.2f}")
assert course.under_trained[best] > course.under_trained.iloc[-1]
assert course.test_nll[best] < 0.8 * course.test_nll.iloc[-1]
plots.learning_curves(frames, measures, "line: mean of the seeds")

# %% [markdown]
# Fewer is not better here: a network that gets *all* training samples right has learnt the wrong labels
# too. While the count of cross-entropy falls, its NLL rises. And with clean labels: how soon is a method
# as good on validation as cross-entropy is at its end?

# %%
clean = select(mlp, setting="clean labels")
soon = clean.groupby("method", sort=False)[["passes_to_baseline", "train_seconds_to_baseline"]]
found = soon.mean().assign(reached=soon.count().iloc[:, 0] / soon.size())
found["passes_to_baseline"] = (found.passes_to_baseline / 1000).round()
print("thousand images passed and seconds (means of the seeds that get there), share of seeds")
found.round(2)

# %% [markdown]
# ## A control that costs nothing: early stopping
#
# If wrong labels are learnt late, one may simply stop before. Each method's top-1 at the epoch that is
# best on *validation*, next to its last epoch:

# %%
both = mlp.groupby(["setting", "method"], sort=False)[["test_top1", "early_top1"]].mean() * 100
both = both.unstack("setting").swaplevel(axis=1)[list(NOISE)].round(1)
for setting in NOISE:
    early = both[setting].early_top1
    ahead = int((both[setting].test_top1.drop(BASELINE) > early[BASELINE]).sum())
    print(f"{setting}: {ahead} of {len(early) - 1} methods end above early-stopped cross-entropy")
    assert (ahead == 1) == ("noise" in setting)
both

# %% [markdown]
# Validation labels are clean here, which flatters early stopping; still, a method that claims
# robustness to label noise should beat it.
#
# ## Another network
#
# The same methods, default settings, on a small residual network: 1,000 images, batches of 64, 20
# epochs, at equal images. Does the order hold?

# %%
residual = select(table, part="defaults", model="resnet-small", budget="images")
other = against(residual)
print(plots.describe_forest(other, "top-1 points"))
plots.forest(other, "top-1 points")

# %%
pairs = against(mlp).merge(other, on=["setting", "method"], suffixes=(" mlp", " resnet"))
for setting, rows in pairs.groupby("setting", sort=False):
    rank = rows["mean mlp"].corr(rows["mean resnet"], method="spearman")
    print(f"{setting}: the gains of {len(rows)} methods keep their order to {rank:.1f} (Spearman)")
for budget in ("images", "samples"):
    rows = select(table, part="defaults", model="resnet-small", budget=budget)
    steps = rows.groupby("method").total_steps.mean().astype(int)
    gap = against(rows).set_index(["method", "setting"])["mean"]["Tf-KD self"]
    print(f"Tf-KD self minus cross-entropy, equal {budget}, {steps['Tf-KD self']} steps against "
          f"{steps[BASELINE]}:", ", ".join(f"{gap[setting]:+.1f} ({setting})" for setting in NOISE))
    assert (gap < -20).all() if budget == "images" else (gap > -5).all()

# %% [markdown]
# 1 would be the same order on both networks, 0 no relation. A ranking from one network is a fact about
# that network. Tf-KD self fails at equal images mostly for a dull reason: cross-entropy takes 300
# steps; half of these images go to its teacher, in 150 steps, and the student is left with 60, of two
# passes each. (Its multiplier was small, too; see the first cell.) With equal samples it does not
# collapse.
#
# ## A common mistake, once
#
# Taking the best *test* epoch instead of the last one adds this much top-1, for nothing, and most to
# methods that overfit:

# %%
wrong = 100 * mlp.groupby(["setting", "method"], sort=False).best_minus_last.mean().unstack("setting")
print(f"up to {wrong.to_numpy().max():.1f} points")
wrong.round(1)

# %% [markdown]
# ## The source's claims
#
# Each held against all these runs, of both networks where they are stored; [docs/claims.md
# ](../docs/claims.md) shows every difference.

# %%
for c in CLAIMS:
    words = findings(table, c).verdict.tolist() if c.others else []
    rows = f"{words.count('better')} of {len(words)} better" if words else "no rows here"
    print(f"{judgement(words):14s} {c.title} ({rows})")

# %% [markdown]
# ## Exercises
#
# **1.** Write `holm(p)`: p values [m] corrected by Holm's step-down rule, in their own order.

# %%
from toastlab.course.judge import check, solution


def holm(p):
    return ...


check("holm", holm)

# %% [markdown]
# **2.** Write `aurc(confidence, right)`: the mean over i of the error rate among the i most confident
# of the samples [N]; `right` [N] is bool.


# %%
def aurc(confidence, right):
    return ...


check("aurc", aurc)

# %% [markdown]
# ## What to doubt
#
# * One data set and small networks, 20 to 30 epochs. A method that loses here may win where it was made
#   for; the recipes of the literature wait for a GPU ([docs/recipes.md](../docs/recipes.md)).
# * "Equal images" punishes methods that need several passes per step, "equal samples" favours them.
# * Five trials are few for up to four settings; the same few for everybody.
# * TOAST here is our reading **[R]** of an abstract. Five or ten seeds cannot see small differences:
#   half of the intervals above reach 0.4 points or more to each side with clean labels, 1.3 with 40 %
#   noise.
# * Validation labels are clean even where training labels are not.
