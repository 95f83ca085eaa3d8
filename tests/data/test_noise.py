"""Feature-dependent noise: it lies where images are easily mistaken, and changes nothing else."""

from typing import get_args

import pytest
import torch
from sklearn.metrics import roc_auc_score

from toastlab.data.dataset import DataConfig, from_tensors, load
from toastlab.data.noise import Noise, flip_where_unsure
from toastlab.store.names import run_key, to_json
from toastlab.studies.catalogue import NOISE_NAMES
from toastlab.training.config import TrainConfig


def two_blobs(n: int = 200) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Grey images of two classes, class 1 the brighter; the last quarter of each lies between them.
    Returns images, labels and which are in between."""
    labels = torch.arange(n) % 2
    between = torch.arange(n) >= 3 * n // 4
    level = torch.where(between, 120 + 4 * labels, 60 + 120 * labels)
    noise = torch.randint(-20, 21, (n, 1, 9, 9), generator=torch.Generator().manual_seed(0))
    return (level[:, None, None, None] + noise).to(torch.uint8), labels, between


def test_it_flips_what_is_easily_mistaken() -> None:
    images, labels, between = two_blobs()
    noisy = flip_where_unsure(images, labels, 2, 0.2, 0)
    flipped = noisy != labels
    for c in (0, 1):
        assert int(flipped[labels == c].sum()) == 20, "round(rate * n_c) of each class"
    assert float(between[flipped].float().mean()) > 0.7, "a fourth of all lies between"


def test_on_real_images() -> None:
    data = load(DataConfig(name="digits", noise="feature-dependent", noise_rate=0.2))
    train = data.train
    flipped = (train.labels != train.clean_labels).numpy()
    counts = torch.bincount(train.clean_labels)
    assert flipped.sum() == sum(round(0.2 * int(c)) for c in counts)
    assert "flipped (feature-dependent)" in data.note
    # another judge: the distance to the own class's mean image
    x = train.images_at(torch.arange(len(train))).flatten(1).double()
    means = torch.stack([x[train.clean_labels == c].mean(0) for c in range(10)])
    far = (x - means[train.clean_labels]).norm(dim=1).numpy()
    near_other = torch.cdist(x, means)
    assert roc_auc_score(flipped, far) > 0.55
    # and labels go where the image is near, more than to any other class
    order = near_other.argsort(1).argsort(1)
    rank = order[torch.arange(len(x)), train.labels].numpy()[flipped]
    assert rank.mean() < 3.5, "of ranks 0 to 9, where chance is about 5"


def test_seeds_and_splits() -> None:
    config = DataConfig(name="digits", noise="feature-dependent", noise_rate=0.2)
    one, again = load(config), load(config)
    other = load(DataConfig(**{**vars(config), "noise_seed": 1}))
    clean = load(DataConfig(name="digits"))
    assert one.fingerprint == again.fingerprint
    assert one.fingerprint != other.fingerprint
    assert torch.equal(one.train.clean_labels, clean.train.labels)
    assert torch.equal(one.test.labels, clean.test.labels)
    assert torch.equal(one.val.labels, clean.val.labels)


def test_without_flips_it_is_the_clean_data() -> None:
    clean = load(DataConfig(name="digits"))
    assert (
        load(DataConfig(name="digits", noise="feature-dependent")).fingerprint == clean.fingerprint
    )
    images, labels, _ = two_blobs(20)
    assert torch.equal(flip_where_unsure(images, labels, 2, 0.0, 0), labels)


def test_older_runs_keep_their_names() -> None:
    """What a stored run's settings are written as has not changed, so neither has its name."""
    plain = to_json(TrainConfig(data=DataConfig(noise_rate=0.2)))
    assert plain["data"]["noise"] == "symmetric"
    assert run_key(TrainConfig(data=DataConfig(noise="pairwise")), "x") != run_key(
        TrainConfig(data=DataConfig(noise="feature-dependent")), "x"
    )
    assert get_args(Noise) == NOISE_NAMES


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rate": 1.0}, "noise rate is 1.0"),
        ({"seed": -1}, "noise seed is -1"),
        ({"labels": torch.full((200,), 2)}, "labels run from 2 to 2"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "do not fit"),
        ({"images": torch.zeros(200, 9, 9)}, "do not fit"),
        (
            {"num_classes": 1, "labels": torch.zeros(200, dtype=torch.int64)},
            "one class has no other",
        ),
    ],
)
def test_what_is_refused(change: dict[str, object], said: str) -> None:
    images, labels, _ = two_blobs()
    given = {"images": images, "labels": labels, "num_classes": 2, "rate": 0.2, "seed": 0}
    with pytest.raises(ValueError, match=said):
        flip_where_unsure(**{**given, **change})


def test_a_users_own_images_and_floats() -> None:
    images, labels, _ = two_blobs(60)
    whole = flip_where_unsure(images, labels, 2, 0.2, 3)
    floats = flip_where_unsure(images.double() / 255, labels, 2, 0.2, 3)
    assert torch.equal(whole, floats)
    assert len(from_tensors(images, labels).train) > 0
