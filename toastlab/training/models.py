"""Networks for small images: two for teaching that train in seconds, five torchvision families.

torchvision's networks are made for 224 pixels; here their stem keeps the resolution (3 x 3, stride
1, no pooling), as is usual for 28 to 64 pixels. Weights are always drawn, never downloaded.
"""

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torchvision import models as tv
from torchvision.models.resnet import BasicBlock

from toastlab.core.errors import in_range, one_of

log = logging.getLogger(__name__)
Maker = Callable[[], nn.Module]  # a user's function, or class, that makes a network of their own


def build(
    name: str,
    num_classes: int,
    in_channels: int = 1,
    image_size: int = 28,
    seed: int | None = None,
) -> nn.Module:
    """A network that maps [B, C, H, W] to logits [B, K].

    Example:
        >>> network = build("mlp", num_classes=10, image_size=8, seed=0)
        >>> list(network(torch.zeros(2, 1, 8, 8)).shape)
        [2, 10]

    Args:
        name: one of `MODELS`.
        num_classes: K; in_channels: C, 1 or 3; image_size: H = W in pixels.
        seed: of the initial weights; the global generator is left alone. None draws from it.

    Raises:
        ValueError: an unknown name, or images too small for the family.
    """
    in_range("number of classes", num_classes, 1)
    in_range("input channels", in_channels, 1)
    in_range("image size", image_size, 1)
    _, smallest, make = MODELS[one_of("model", name, MODELS)]
    if image_size < smallest:
        raise ValueError(
            f"{name!r} needs images of at least {smallest} x {smallest} pixels, these have "
            f"{image_size}: resize them (--data.size {smallest}) or choose mlp or resnet-small."
        )
    with _drawing_from(seed):
        model = make(num_classes, in_channels, image_size)
        model.exits = EXITS[name]  # type: ignore[assignment]
        return model


@contextmanager
def _drawing_from(seed: int | None) -> Iterator[None]:
    """Draws from a seed, and leaves the global generator as it was; None: draws from that."""
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        yield


def draw(make: Maker, seed: int) -> nn.Module:
    """A user's own network, new, with first weights drawn from the seed.

    The function is called a second time, under another seed: what both networks share would have
    been trained by an earlier run. If only the numbers are equal (copies of one network, or a seed
    of its own), a warning says that `seed` does not choose them.

    Args:
        make: makes the network, drawing from PyTorch's generator.
        seed: of the first weights; the global generator is left alone.

    Raises:
        TypeError: the function does not give a network.
        ValueError: it gives the same network, or the same parts, at every call.
    """
    with _drawing_from(seed):
        model = make()
    with _drawing_from(seed + 1):
        other = make()
    for one in (model, other):
        if not isinstance(one, nn.Module):
            raise TypeError(f"the function gives {type(one).__name__}; have it give a network.")
    mine, others = (dict(one.named_parameters()) for one in (model, other))
    shared = [name for name in mine if mine[name] is others.get(name)]
    if shared:
        raise ValueError(
            f"the function gives the same {shared[0]!r} at every call, which may be trained "
            "already; make the whole network inside it."
        )
    if mine and all(torch.equal(mine[name], others[name]) for name in mine.keys() & others.keys()):
        log.warning("the first weights of this network are the same for every seed")
    return model


def own(model: nn.Module | Maker, name: str) -> Maker:
    """How a store of runs makes a user's network, which it knows by its name and by nothing else.

    A network made already is a pattern: copies of it are made, and their weights drawn anew, module
    by module, as `reset_parameters` does. So it is left alone, each seed has its own first weights,
    and none that were trained get in. A line in the log says so, since what was chosen by hand, or
    loaded, is not kept; a function keeps it.

    Args:
        model: a function or class that makes the network, or a network.
        name: as of `TrainConfig.model`.

    Raises:
        TypeError: it is something else, or a pattern with parameters that cannot be drawn anew.
        ValueError: one of our networks has the name.
    """
    if name in MODELS:
        raise ValueError(
            f"{name!r} names a network of toastlab; give yours a name of its own, "
            'TrainConfig(model="mine").'
        )
    if not isinstance(model, nn.Module):
        if callable(model):
            return model
        raise TypeError(
            f"model is a {type(model).__name__}; give a network, or a function that makes one "
            "(model=lambda: ...)."
        )
    for path, part in model.named_modules():
        fixed = not callable(getattr(part, "reset_parameters", None))
        if fixed and any(True for _ in part.parameters(recurse=False)):
            raise TypeError(
                f"the weights of {path or 'model'!r}, a {type(part).__name__} without "
                "reset_parameters, cannot be drawn anew; give a function that makes the network "
                "(model=lambda: ...)."
            )
    log.warning(
        "model is a network made already: a copy with newly drawn weights is trained; to choose "
        "the first weights, give a function that makes the network"
    )
    return lambda: _redrawn(model)


def _redrawn(pattern: nn.Module) -> nn.Module:
    """A copy on the CPU, where the seed holds, with weights of its own."""
    model = copy.deepcopy(pattern).cpu()
    for part in model.modules():
        if callable(reset := getattr(part, "reset_parameters", None)):
            reset()
    return model


def count_parameters(model: nn.Module) -> int:
    """Number of trainable numbers in a network."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def check_model(model: nn.Module, images: Tensor, num_classes: int) -> None:
    """Tries a network on a few images [b, C, H, W], leaving its mode and statistics as they are.

    Raises:
        ValueError: it does not take such images, or does not answer with finite logits [b, K].
    """
    modes = [(m, m.training) for m in model.modules()]
    try:
        logits = model.eval()(images)
    except (RuntimeError, ValueError) as error:
        wanted = _in_channels(model)
        channels = images.shape[1]
        if wanted is not None and wanted != channels:
            raise ValueError(
                f"the model expects {wanted} input channels, the data has {channels}: set "
                f"channels={'rgb' if wanted == 3 else 'grey'!r} (--data.channels) or build the "
                f"model with in_channels={channels}."
            ) from error
        raise ValueError(
            f"the model does not take images of shape {tuple(images.shape[1:])}: {error}."
        ) from error
    finally:
        for module, training in modes:
            module.training = training
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (len(images), num_classes):
        raise ValueError(
            f"the model answers {len(images)} images with {shape}, but must give one logit per "
            f"class: ({len(images)}, {num_classes})."
        )
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("the model's logits are NaN or infinite before any training.")


def _in_channels(model: nn.Module) -> int | None:
    """Channels that the first convolution takes, if there is one."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return None if first is None else first.in_channels


def _mlp(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    pixels = in_channels * image_size**2
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, num_classes),
    )


def _resnet_small(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """Three stages of one basic block, 16 to 64 channels; halves the image first if it is large."""

    def stage(width_in: int, width: int) -> nn.Module:
        stride = 1 if width_in == width else 2
        shortcut = None
        if stride == 2:
            shortcut = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        return BasicBlock(width_in, width, stride, shortcut)

    stem = nn.Conv2d(in_channels, 16, 3, 2 if image_size > 16 else 1, 1, bias=False)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))
    body = (nn.BatchNorm2d(16), nn.ReLU(), stage(16, 16), stage(16, 32), stage(32, 64))
    network = nn.Sequential(stem, *body, *head)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # as torchvision starts its residual networks
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _small_resnet_stem(network: tv.ResNet, in_channels: int) -> nn.Module:
    network.conv1 = nn.Conv2d(in_channels, 64, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network


def _resnet18(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    return _small_resnet_stem(tv.resnet18(num_classes=num_classes), in_channels)


def _wide_resnet50(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    return _small_resnet_stem(tv.wide_resnet50_2(num_classes=num_classes), in_channels)


def _vgg16_bn(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    network = tv.vgg16_bn(num_classes=num_classes)
    network.features[0] = nn.Conv2d(in_channels, 64, 3, padding=1)
    nn.init.kaiming_normal_(network.features[0].weight, mode="fan_out", nonlinearity="relu")
    network.features[-1] = nn.Identity()  # a fifth halving would leave nothing of 28 pixels
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Linear(512, num_classes)  # the large head is for 224 pixels
    return network


def _densenet121(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    network = tv.densenet121(num_classes=num_classes)
    network.features.conv0 = nn.Conv2d(in_channels, 64, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(network.features.conv0.weight)
    network.features.pool0 = nn.Identity()
    return network


def _mobilenet_v2(num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    # The width, depth and stride of each stage; the published net halves the image at 24 channels.
    stages = [
        [1, 16, 1, 1],
        [6, 24, 2, 1],
        [6, 32, 3, 2],
        [6, 64, 4, 2],
        [6, 96, 3, 1],
        [6, 160, 3, 2],
        [6, 320, 1, 1],
    ]
    network = tv.mobilenet_v2(num_classes=num_classes, inverted_residual_setting=stages)
    network.features[0][0] = nn.Conv2d(in_channels, 32, 3, 1, 1, bias=False)
    nn.init.kaiming_normal_(network.features[0][0].weight, mode="fan_out")
    return network


# name -> what it is, smallest image in pixels, maker
MODELS: dict[str, tuple[str, int, Callable[[int, int, int], nn.Module]]] = {
    "mlp": ("teaching: two hidden layers of 256, seconds to train", 1, _mlp),
    "resnet-small": ("teaching: residual, 16 to 64 channels, about a minute", 4, _resnet_small),
    "resnet18": ("ResNet-18, small-image stem", 8, _resnet18),
    "vgg16-bn": ("VGG-16 with batch norm, four halvings and one linear layer", 16, _vgg16_bn),
    "densenet121": ("DenseNet-121, small-image stem", 8, _densenet121),
    "wide-resnet50": ("WideResNet-50-2, small-image stem", 8, _wide_resnet50),
    "mobilenet-v2": ("MobileNetV2, first two strides 1", 8, _mobilenet_v2),
}

# name -> modules behind which a stage ends, the last stage left out
EXITS: dict[str, tuple[str, ...]] = {
    "mlp": ("2",),
    "resnet-small": ("3", "4"),
    "resnet18": ("layer1", "layer2", "layer3"),
    "wide-resnet50": ("layer1", "layer2", "layer3"),
    "vgg16-bn": ("features.6", "features.13", "features.23"),
    "densenet121": ("features.transition1", "features.transition2", "features.transition3"),
    "mobilenet-v2": ("features.3", "features.6", "features.13"),
}
