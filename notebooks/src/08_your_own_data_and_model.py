# %% [markdown]
# # 8. Your own data, model and loop
#
# *Twenty minutes of reading; runs in under 40 seconds.*
#
# **Goals.** Use TOAST on a folder of images, with a network of your own, in a training loop of your
# own; know what to change for a GPU and for CIFAR-100; find the samples to look at first.
#
# **Predict first:** how many lines of a usual PyTorch loop have to change?
#
# ## A folder of images
#
# Any folder with a subfolder for each class will do. Here is one, written as PNG files: 60 images of
# each of three classes of the embedded data, and we put ten sandals among the boots by mistake.

# %%
import tempfile
from pathlib import Path

import torch
from torchvision.io import write_png
from toastlab import DataConfig, ToastConfig, TrainConfig, load

mini = load(DataConfig(name="fashion-mini"))
names = {5: "sandal", 7: "sneaker", 9: "boot"}
root = Path(tempfile.mkdtemp())
for part, split in (("train", mini.train), ("val", mini.val), ("test", mini.test)):
    for c, name in names.items():
        (root / part / name).mkdir(parents=True)
        for i in torch.nonzero(split.labels == c)[: 60 if part == "train" else 30, 0].tolist():
            write_png(split.images[i], str(root / part / name / f"{name}-{i:04d}.png"))
for file in sorted((root / "train" / "sandal").iterdir())[:10]:
    file.rename(root / "train" / "boot" / file.name)

own = DataConfig(name="folder", path=str(root), size=28, channels="grey")
data = load(own)
print(len(data.train), len(data.val), len(data.test), data.classes)
print("each sample keeps its file:", data.train.ids[0])

# %% [markdown]
# ## Your own network
#
# Any `nn.Module` from images [B, C, H, W] to logits [B, K], and a function that makes it.

# %%
from torch import nn


def small_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 3),
    )


torch.manual_seed(0)
network = small_cnn()
print(sum(p.numel() for p in network.parameters()), "parameters")

# %% [markdown]
# ## Your own loop
#
# An ordinary `DataLoader`, whose data set also yields the index of each sample. `join` takes a batch of
# it and gives one in which the under-trained samples have their past predictions; called with the logits, `toast` gives the loss and
# takes note of them; `end_epoch` makes the new medoids.

# %%
from torch.utils.data import DataLoader, TensorDataset


def train_epoch(network, toast, loader, optimizer):
    """Trains; p of each sample's label [N], as it was seen."""
    seen = torch.full((len(loader.dataset),), float("nan"))
    network.train()
    for images, labels, index in loader:
        batch = toast.join(images, labels, index)
        logits = network(batch.images.float() / 255)
        loss = toast(logits, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen[batch.index] = logits.detach().softmax(1).gather(1, batch.labels[:, None])[:, 0]
    toast.end_epoch()
    return seen


train = data.train
rows = TensorDataset(train.images, train.labels, torch.arange(len(train)))
shuffle = torch.Generator().manual_seed(0)
loader = DataLoader(rows, batch_size=32, shuffle=True, generator=shuffle)
toast = ToastConfig().build(train.labels, num_classes=3, batch_size=32)
optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
probability = [train_epoch(network, toast, loader, optimizer) for epoch in range(30)]

network.eval()
with torch.no_grad():
    right = network(data.test.images.float() / 255).argmax(1) == data.test.labels
accuracy = float(right.float().mean())
print(f"test accuracy: {accuracy:.4f}")
assert accuracy > 0.7

# %% [markdown]
# Which of its lines has a usual epoch not got? Those that name the method, the index that the loader
# brings, or the batch that comes back:

# %%
import inspect

lines = inspect.getsource(train_epoch).splitlines()[4:]
words = ("toast", "index in loader", "network(batch")
ours = [line.strip() for line in lines if any(word in line for word in words)]
print("\n".join(ours))
assert len(ours) == 5

# %% [markdown]
# **Your prediction:** six. These five, and one before the loop, which makes the method. `seen` is for
# the pictures below, not for TOAST.
#
# ## Which samples to look at first
#
# The mean true-class probability over the epochs, lowest first. `data.train.ids` has each sample's
# file, so that this is a list to act on. The ten that we misplaced should be near the top (one of
# them would be there by chance); they are framed.

# %%
import numpy as np
import pandas as pd
from toastlab import plots
from toastlab.data.dataset import images_of
from toastlab.data.ids import caption

confidence = torch.stack(probability).nanmean(0).numpy()
labels, files = data.train.labels.numpy(), data.train.ids
misplaced = np.array([name.startswith("train/boot/sandal") for name in files])

first = np.argsort(confidence, kind="stable")[:16]
captions = [f"in {data.classes[labels[i]]}\n{caption(files[i])}\np {confidence[i]:.2f}" for i in first]
shown = (images_of(data.train, first), captions, misplaced[first].tolist(), "Least confident")
print(f"of the ten misplaced, {misplaced[first].sum()} are here")
assert misplaced.sum() == 10 and misplaced[first].sum() >= 4
plots.sample_gallery(*shown, "in the wrong folder")

# %% tags=["nbval-ignore-output"]
pd.DataFrame({"file": files[first], "mean probability": confidence[first].round(2)})

# %% [markdown]
# ## With our loop: store, checkpoints, dynamics
#
# `RunStore.get` trains once and finds the run again. `model=` takes the function that makes your
# network, known to the store by the name that you give it. It is called under the run's seed: the
# network starts anew, and the one that we trained above stays as it is. (Had we given that one, a copy
# with newly drawn weights would be trained: nobody could tell from a run's name what it had learnt.)

# %%
from toastlab import RunStore

config = TrainConfig(data=own, method=ToastConfig(), model="my-small-cnn", epochs=3, batch_size=32)
run = RunStore(root / "runs").get(config, dataset=data, model=small_cnn, device="cpu")
print("epochs:", len(run.metrics), "| dynamics of", run.dynamics.probability.shape[1], "samples")
again = RunStore(root / "runs").get(config, dataset=data)
print("asked for again, found again; runs in the store:", len(RunStore(root / "runs").list()))
assert again.key == run.key

# %% [markdown]
# The dynamics keep the files too, also when the run is opened later without the images. The five
# least confident of these three epochs:

# %% tags=["nbval-ignore-output"]
from toastlab.analysis.dynamics import data_map

data_map(run.dynamics).nsmallest(5, "confidence")[["id", "confidence", "correctness", "carried"]]

# %% [markdown]
# ## A GPU, and CIFAR-100
#
# The device is chosen once: `device="auto"` takes CUDA, then Apple's MPS, then the CPU. Data that
# fit in memory live there as uint8 and are cut and augmented there. In a terminal:
#
#     toastlab data fetch cifar100
#     toastlab train toast --data.name cifar100 --model resnet18 --epochs 200 --device cuda
#
# The same from Python; nothing here runs before the data are fetched:

# %%
big = TrainConfig(
    data=DataConfig(name="cifar100"), method=ToastConfig(), model="resnet18", epochs=200
)
print(big.data.name, big.model, big.epochs, "epochs")

# %% [markdown]
# ## Exercises
#
# **1.** Images of a folder need not be square. Write `centre_square(x)`: the largest centred square
# of an image [C, H, W]; where it cannot be exactly centred, the one nearer the top left.

# %%
from toastlab.course.judge import check, solution


def centre_square(x):
    return ...


check("centre_square", centre_square)

# %% [markdown]
# **2.** Write `suspects(p, labels, share)`: in each class the `share` of its samples (rounded down)
# with the lowest confidence p [N]; their positions in ascending order.


# %%
def suspects(p, labels, share):
    return ...


check("suspects", suspects)

# %% [markdown]
# ## What to doubt
#
# * A low confidence is a reason to look, not a verdict: rare and hard images have it too.
# * With 180 images everything depends on the seed; repeat before you conclude.
# * Our defaults were chosen on Fashion-MNIST with small networks; on your data, choose the weights
#   on a validation split (notebook 7, exercise 2).
