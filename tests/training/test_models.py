"""Every family builds, counts and answers; small-image stems; bad networks are told so."""

import pytest
import torch
from torch import nn

from toastlab.training.models import build, check_model, count_parameters
from toastlab.training.names import MODELS

PARAMETERS = {  # 10 classes, grey 28 x 28
    "mlp": 269_322,
    "resnet-small": 77_754,
    "resnet18": 11_172_810,
    "vgg16-bn": 14_727_114,
    "densenet121": 6_955_274,
    "wide-resnet50": 66_845_898,
    "mobilenet-v2": 2_236_106,
}


def test_all_are_pinned() -> None:
    assert PARAMETERS.keys() == MODELS.keys()


@pytest.mark.parametrize("name", MODELS)
def test_family(name: str) -> None:
    grey = build(name, 10, 1, 28, seed=0).eval()
    assert count_parameters(grey) == PARAMETERS[name]
    with torch.no_grad():
        assert grey(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
        colour = build(name, 7, 3, 32, seed=0).eval()
        assert colour(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize("name", ["resnet18", "vgg16-bn", "densenet121", "mobilenet-v2"])
def test_stems_keep_the_resolution(name: str) -> None:
    """The first convolution has stride 1, and 28 pixels are not pooled away before the features."""
    model = build(name, 10, 1, 28)
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    assert first.stride == (1, 1)
    assert first.kernel_size == (3, 3)


@pytest.mark.parametrize("name", ["mlp", "resnet-small"])
@pytest.mark.parametrize("size", [8, 28, 32])
def test_teaching_networks_learn(name: str, size: int) -> None:
    torch.manual_seed(0)
    model = build(name, 2, 1, size, seed=1)
    x = torch.randn(32, 1, size, size)
    y = (x.mean((1, 2, 3)) > 0).long()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_seeds_leave_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    a, b, c = (build("mlp", 3, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    weights = [next(m.parameters()) for m in (a, b, c)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    build("mlp", 3)
    assert not torch.equal(torch.get_rng_state(), state), "without a seed it is the caller's"


def test_errors() -> None:
    with pytest.raises(ValueError, match="Did you mean 'resnet18'"):
        build("resnet-18", 10)
    with pytest.raises(ValueError, match=r"'vgg16-bn' needs images of at least 16 x 16.*8"):
        build("vgg16-bn", 10, 1, 8)


def test_check_model() -> None:
    images = torch.randn(2, 1, 8, 8)
    model = build("resnet-small", 4, 1, 8)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model[1].eval()  # type: ignore[index]
    check_model(model, images, 4)
    assert model.training
    assert not model[1].training  # type: ignore[index]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with pytest.raises(ValueError, match=r"expects 3 input channels, the data has 1.*'rgb'"):
        check_model(build("resnet-small", 4, 3, 8), images, 4)
    with pytest.raises(ValueError, match=r"must give one logit per class: \(2, 5\)"):
        check_model(model, images, 5)
    with pytest.raises(ValueError, match="does not take images of shape"):
        check_model(nn.Sequential(nn.Flatten(), nn.Linear(3, 4)), images, 4)
    broken = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    nn.init.constant_(broken[1].weight, torch.inf)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN or infinite before any training"):
        check_model(broken, images, 4)
