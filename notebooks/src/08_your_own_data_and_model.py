# %% [markdown]
# # 8. Your own images: a list of the labels to look at
#
# *Twenty minutes of reading, half an hour of exercises; runs in under 30 seconds.*
#
# **Goals.** Get from a folder of images to a list of its most doubtful labels. Look at them. Use TOAST with a
# network and in a training loop of your own, and get the same list from there.
#
# Any folder with a subfolder for each class will do. We write one here from the embedded data, and put some
# files into the wrong subfolder: some shirts among the bags, some bags among the trousers.

# %%
import inspect
from pathlib import Path
from tempfile import mkdtemp

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.io import read_image, write_png
from toastlab import DataConfig, Recorder, ToastConfig, load, plots
from toastlab.course import Prediction, check, discuss, hint, solution
from toastlab.data.ids import caption
from toastlab.widgets import Explorer

mini, root = load(DataConfig(name="fashion-mini")), Path(mkdtemp())
folder, kinds = root / "my_images", {"trouser": 1, "shirt": 6, "bag": 8}
for name, c in kinds.items():
    (folder / name).mkdir(parents=True)
    for i in (mini.train.labels == c).nonzero()[:150, 0].tolist():
        write_png(mini.train.images[i], str(folder / name / f"{name}-{i:04d}.png"))
for name, into in (("shirt", "bag"), ("bag", "trouser")):
    for file in sorted((folder / name).glob(f"{name}-*"))[:12]:
        file.rename(folder / into / file.name)

def misplaced(file):
    """Whether a file lies in another folder than its name says."""
    return not Path(file).name.startswith(Path(file).parent.name)

files = sorted(folder.rglob("*.png"))
count = sum(map(misplaced, files))
print(f"{len(files)} files, {count} of them misplaced")
look = sorted((folder / "bag").iterdir(), key=lambda file: file.stem[-4:])[:8]
images = torch.stack([read_image(str(file)) for file in look]).numpy()
title = "The folder bag holds shirts, too"
plots.sample_gallery(images, [file.name for file in look], [*map(misplaced, look)], title,
                     "that are no bags", wide=1.05)

# %% [markdown]
# In a folder of your own no frame would tell you. But a training does: a network that has seen the other
# bags does not come to believe that these are bags, or only late.
#
# **Predict first:**

# %%
first = Prediction(
    "We sort all files by how doubtful their label is. Of as many files at the top as there are misplaced "
    "ones, how many are misplaced?",
    a="about one in twenty, as in the whole folder",
    b="about a third",
    c="more than half",
)
first.choose(...)

# %% [markdown]
# ## From images to a list, in a few lines

# %%
from toastlab import CrossEntropyConfig, DataConfig, RunStore, TrainConfig, analyse

own = DataConfig(name="folder", path=str(folder), size=28, channels="grey")
config = TrainConfig(data=own, method=CrossEntropyConfig(), model="resnet-small", epochs=10, batch_size=32)
run = RunStore(root / "runs").get(config, device="cpu")
found = analyse(run)
found.suspicious(100).to_csv(root / "suspicious.csv", index=False)

# %% [markdown]
# For photographs say `size=32`, leave `channels` out, and take more epochs or a larger network. The CSV has a row
# a file, the most doubtful label first, by **AUM**, the area under the margin (Pleiss et al., 2020). The margin
# is the logit of the label less the largest other one; AUM is its mean over all epochs. Below zero the label
# lost more than it won. Other columns: [docs/analyse.md](../docs/analyse.md).

# %%
def top(analysis):
    """As many of the most doubtful files as are misplaced, and which of all files are."""
    here = analysis.table["id"].map(misplaced)
    rows = analysis.suspicious(int(here.sum()))
    print(f"of the {here.sum()} misplaced, {here[rows.index].sum()} are among the first {len(rows)} of the list")
    return rows, here

rows, here = top(found)
assert here[rows.index].mean() > 0.6
rows = rows[:8]
captions = [f"in {label}\n{caption(file)}\nAUM {aum:.1f}"
            for label, file, aum in zip(rows["label_name"], rows["id"], rows["aum"])]
shown = found.images_at(rows.index), captions, list(here[rows.index])
plots.sample_gallery(*shown, "Most of the doubtful labels are wrong ones", "in the wrong folder", wide=1.05)

# %%
held = count - int(here.sum())
print(f"{len(files) - len(found.table)} files are held out, {held} of them misplaced")
assert held > 0
first.answer("c")

# %% [markdown]
# **Your prediction:** more than half. Files that are rightly placed stand in the list, too: they are odd, and
# worth a look. And some misplaced files cannot be in it: a part of each folder is held out for validation and
# test, and is not trained on. With another `split_seed` others are held out.
#
# ## Look at them
#
# Draw around the points at the bottom of the first plane: the gallery shows their images, *CSV* saves your choice.

# %%
Explorer(found)

# %% [markdown]
# `Explorer(found).save("my_images.html")` makes a page of it that needs neither a kernel nor a network.
#
# ## Which score to sort by
#
# In the study of scores, labels were flipped in three ways. *Symmetric* is to any other class, *pairwise* to the
# next one, and *feature-dependent* where a small network is unsure, as people err. *AUROC* is how often, of a wrong
# and a right label, the wrong one has the more doubtful score.

# %%
from toastlab.studies import scores, scores_page
auroc = scores_page.by_noise(scores.load("rows"))
plane = scores.load("plane").groupby(["noise", "group"], sort=False).mean(numeric_only=True)
easy, hard, apart = *auroc.max()[["symmetric", "feature-dependent"]], plane.confidence.unstack().eval("rare - wrong")
assert easy > 0.95 and hard < 0.9 and apart["symmetric"] > 0.2 and apart["feature-dependent"] < 0.05
title = f"Flips at random are found, up to {easy:.2f}; errors like those of people less, up to {hard:.2f}"
plots.scores_view(auroc, plane.reset_index(), title)

# %% [markdown]
# Sort by what the network said early (EL2N) or over all epochs (confidence, AUM), not by the last epoch. What has
# been learnt by heart is no longer doubted. *Rare* samples have right labels, and are unlike the rest of their
# class. They are believed more than wrong ones, and forgotten more often; but where labels err as people do, nothing
# tells the two apart. Then look at the images. [docs/scores.md](../docs/scores.md) has all figures.
#
# ## TOAST with your own network, in your own loop
#
# A network is any `nn.Module` from images [B, C, H, W] to logits [B, K]. The loader also yields each sample's
# number. The lines with `recorder` are for the list, and have nothing to do with TOAST.

# %%
def small_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 3),
    )

def train_epoch(network, toast, recorder, loader, optimizer):
    network.train()
    for images, labels, index in loader:
        batch = toast.join(images, labels, index)
        logits = network(batch.images.float() / 255)
        loss = toast(logits, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recorder.add(batch.index, logits, batch.carried)
    toast.end_epoch()
    recorder.end_epoch()

train = load(own).train
rows = TensorDataset(train.images, train.labels, torch.arange(len(train)))
loader = DataLoader(rows, batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(0))
toast = ToastConfig().build(train.labels, num_classes=3, batch_size=32)
recorder = Recorder(len(train), num_classes=3)
torch.manual_seed(0)
network = small_cnn()
optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
for epoch in range(20):
    train_epoch(network, toast, recorder, loader, optimizer)

# %%
words = ("toast", "index in loader", "network(batch")
lines = inspect.getsource(train_epoch).splitlines()[1:]
new = ["toast = ToastConfig().build(...)", *(x.strip() for x in lines if any(w in x for w in words))]
print("\n".join(new))
assert len(new) == 6

# %% [markdown]
# These six lines are TOAST: one makes the method, one brings the numbers, one joins the carried samples to the
# batch. One runs the network on it, one takes the loss, and the last makes new medoids. Now the list:

# %%
analysis = analyse(recorder, train.labels, ids=train.ids, images=train.images, class_names=found.class_names)
rows, here = top(analysis)
assert here[rows.index].mean() >= 0.5
carried = analysis.table["carried"]
times = {of: float(carried[here == (of == "misplaced")].mean()) for of in ("misplaced", "others")}
print("times that a sample was carried, on average:", ", ".join(f"{of} {t:.4f}" for of, t in times.items()))
assert times["misplaced"] > times["others"]

# %% [markdown]
# The misplaced files are carried more often than the others: TOAST itself points at them.
#
# Without a loop of your own, `RunStore.get(config, model=small_cnn)` trains your network in ours, stores the run
# and finds it again. `config.model` is then the name that the store knows it by. On a GPU nothing changes:
# `device="auto"` takes CUDA, then Apple's MPS, then the CPU.
#
# ## Exercises
#
# **1.** Write `hits(scores, flipped, count)`, of [n] and [n]: the share of wrong labels among the `count`
# samples with the lowest scores.

# %%
def hits(scores, flipped, count):
    return ...

check("hits", hits)

# %% [markdown]
# **2.** Write `aum(logits, labels)`: logits [E, N, K] of all epochs and labels [N] to the AUM of each sample, [N].

# %%
def aum(logits, labels):
    return ...

check("aum", aum)

# %% [markdown]
# **3.** Write `suspects(p, labels, share)`: in each class the `share` of its samples, rounded down, with the
# lowest confidence p [N]. Give back their positions in ascending order.

# %%
def suspects(p, labels, share):
    return ...

check("suspects", suspects)

# %% [markdown]
# **4.** A file stands at the top of your list, and its label is right. Why may that be? And why not simply
# delete the first hundred?

# %%
mine = """
"""
discuss("delete_a_hundred", mine)

# %% [markdown]
# ## What to doubt
#
# * A low score is a reason to look, not a verdict: rare and hard images have it, too.
# * Here whole files were misplaced, between classes that are easy to tell.
# * One seed, and a few hundred images: repeat before you conclude.
# * The defaults were chosen on Fashion-MNIST with small networks. For your data choose the weights on a
#   validation split (notebook 7).
