"""The network of a run: one of ours, or a user's own; drawn from the run's seed, and tried out."""

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from toastlab.core.errors import BadType, BadValue, in_range, one_of
from toastlab.training.names import EXITS, MODELS

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
    _, smallest = MODELS[one_of("model", name, MODELS)]
    if image_size < smallest:
        raise BadValue(
            f"{name!r} needs images of at least {smallest} x {smallest} pixels, these have "
            f"{image_size}: resize them (--data.size {smallest}) or choose mlp or resnet-small."
        )
    from toastlab.training import networks  # torchvision takes as long to import as torch

    make = getattr(networks, name.replace("-", "_"))
    with _drawing_from(seed):
        model: nn.Module = make(num_classes, in_channels, image_size)
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
            raise BadType(f"the function gives {type(one).__name__}; have it give a network.")
    mine, others = (dict(one.named_parameters()) for one in (model, other))
    shared = [name for name in mine if mine[name] is others.get(name)]
    if shared:
        raise BadValue(
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
        raise BadValue(
            f"{name!r} names a network of toastlab; give yours a name of its own, "
            'TrainConfig(model="mine").'
        )
    if not isinstance(model, nn.Module):
        if callable(model):
            return model
        raise BadType(
            f"model is a {type(model).__name__}; give a network, or a function that makes one "
            "(model=lambda: ...)."
        )
    for path, part in model.named_modules():
        fixed = not callable(getattr(part, "reset_parameters", None))
        if fixed and any(True for _ in part.parameters(recurse=False)):
            raise BadType(
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
            raise BadValue(
                f"the model expects {wanted} input channels, the data has {channels}: set "
                f"channels={'rgb' if wanted == 3 else 'grey'!r} (--data.channels) or build the "
                f"model with in_channels={channels}."
            ) from error
        raise BadValue(
            f"the model does not take images of shape {tuple(images.shape[1:])}: {error}."
        ) from error
    finally:
        for module, training in modes:
            module.training = training
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (len(images), num_classes):
        raise BadValue(
            f"the model answers {len(images)} images with {shape}, but must give one logit per "
            f"class: ({len(images)}, {num_classes})."
        )
    if not bool(torch.isfinite(logits).all()):
        raise BadValue("the model's logits are NaN or infinite before any training.")


def _in_channels(model: nn.Module) -> int | None:
    """Channels that the first convolution takes, if there is one."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return None if first is None else first.in_channels
