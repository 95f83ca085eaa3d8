"""Augmentation of whole batches on the device: pad-crop, flip, Cutout; Mixup and CutMix.

Chance is in `draw` alone; `apply` is a function of what was drawn. Static shapes, no loop over
images, nothing that waits for the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from toastlab.core.checks import FLOAT, check_shapes
from toastlab.core.errors import BadType, BadValue, in_range, one_of
from toastlab.core.settings import Range, Settings, Share

Pixels = Annotated[int, Range(0, 512)]  # more is no augmentation, and fills the memory


@dataclass(frozen=True)
class AugmentConfig(Settings):
    """What happens to training images. Everything is off by default."""

    crop: Pixels = 0  # Pixels of black border before a random crop back to size, 0 to 512; 0: off.
    flip: bool = False  # Mirror each image, left and right, with probability 1/2.
    # Side in pixels of a square set to the mean, cut at the border, 0 to 512; 0: off.
    cutout: Pixels = 0
    mix: Literal["none", "mixup", "cutmix"] = "none"  # Mixing of two images: none, mixup or cutmix.
    # Alpha of the Beta(alpha, alpha) that draws the mix, 0.01 to 1000.
    mix_alpha: Annotated[float, Range(0.01, 1000)] = 1.0
    mix_prob: Share = 0.5  # Probability that a batch is mixed, in [0, 1].


@dataclass(frozen=True, eq=False)
class Draw:
    """What chance decided for a batch: crop offsets, flips, Cutout centres; all [B] or None."""

    top: Tensor | None
    left: Tensor | None
    flip: Tensor | None
    centre_y: Tensor | None
    centre_x: Tensor | None


class Augment:
    """Augments and normalises batches.

    Args:
        config: what is done in training.
        mean, std: per channel, of pixels in 0..1; finite, and deviations above 0, or `ValueError`.
    """

    def __init__(self, config: AugmentConfig, mean: Sequence[float], std: Sequence[float]) -> None:
        self.config = config
        self.mean, self.std = tuple(mean), tuple(std)
        self._scaled: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}
        if not mean or len(self.mean) != len(self.std):
            raise BadValue(f"{len(mean)} means, {len(std)} deviations; give one per channel.")
        for value, deviation in zip(mean, std, strict=True):
            in_range("mean", value, open_low=True, open_high=True)
            in_range("deviation", deviation, 0, open_low=True, open_high=True)

    def train(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Augmented, normalised images [B, C, H, W] float32.

        Args:
            images: [B, C, H, W], uint8 0..255 or floating point 0..1.
            generator: on the images' device; None takes the global one.

        Raises:
            ValueError: the Cutout square is larger than the image; other channels than the means.
            TypeError: pixels that are neither uint8 nor floating point.
        """
        return self.apply(images, self.draw(images, generator))

    def evaluate(self, images: Tensor) -> Tensor:
        """Normalised images [B, C, H, W] float32; raises as `train`."""
        _check_pixels(images)
        if images.shape[1] != len(self.mean):
            raise BadValue(
                f"the images have {images.shape[1]} channels, but the means are of "
                f"{len(self.mean)}; give one per channel."
            )
        pixels = images.float()
        key = (images.device, images.dtype)
        if key not in self._scaled:  # the first time only: a copy to a device waits for it
            scale = 255.0 if images.dtype == torch.uint8 else 1.0
            mean, std = (pixels.new_tensor(x)[:, None, None] * scale for x in (self.mean, self.std))
            self._scaled[key] = (mean, std)
        mean, std = self._scaled[key]
        return (pixels - mean) / std

    def draw(self, images: Tensor, generator: torch.Generator | None = None) -> Draw:
        """Draws for a batch; what is off is not drawn."""
        _check_pixels(images)
        cfg, (b, _, h, w) = self.config, images.shape
        if cfg.cutout > min(h, w):
            raise BadValue(f"cutout is {cfg.cutout} pixels, but the images have {h} x {w}.")

        def below(limit: int) -> Tensor:
            return torch.randint(limit, (b,), device=images.device, generator=generator)

        return Draw(
            below(2 * cfg.crop + 1) if cfg.crop else None,
            below(2 * cfg.crop + 1) if cfg.crop else None,
            below(2).bool() if cfg.flip else None,
            below(h) if cfg.cutout else None,
            below(w) if cfg.cutout else None,
        )

    def apply(self, images: Tensor, draw: Draw) -> Tensor:
        """Does what was drawn: crop, flip, normalise, Cutout (to 0, which is the mean)."""
        if draw.top is not None or draw.flip is not None:
            images = self._move(images, draw)
        pixels = self.evaluate(images)
        if draw.centre_y is None or draw.centre_x is None:
            return pixels
        h, w = images.shape[2:]
        rows = self._inside(h, draw.centre_y)[:, None, :, None]  # [B, 1, H, 1]
        columns = self._inside(w, draw.centre_x)[:, None, None, :]  # [B, 1, 1, W]
        return pixels.masked_fill(rows & columns, 0)

    def _inside(self, length: int, centre: Tensor) -> Tensor:
        """[B, length] bool: within the Cutout square along one axis."""
        start = centre[:, None] - self.config.cutout // 2
        position = torch.arange(length, device=centre.device)
        return (position >= start) & (position < start + self.config.cutout)

    def _move(self, images: Tensor, draw: Draw) -> Tensor:
        """Crop and flip as one gather: each output pixel knows where it comes from."""
        b, c, h, w = images.shape
        pad, device = self.config.crop, images.device
        rows = torch.arange(h, device=device).expand(b, h)
        columns = torch.arange(w, device=device).expand(b, w)
        if draw.flip is not None:
            columns = torch.where(draw.flip[:, None], columns.flip(1), columns)
        if draw.top is not None and draw.left is not None:
            images = F.pad(images, (pad, pad, pad, pad))
            rows, columns = rows + draw.top[:, None], columns + draw.left[:, None]
        wide = images.shape[-1]
        flat = (rows[:, :, None] * wide + columns[:, None, :]).reshape(b, 1, h * w)
        return images.flatten(2).gather(2, flat.expand(b, c, h * w)).reshape(b, c, h, w)


def pixel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, of pixels in 0..1.

    Args:
        images: [N, C, H, W] uint8 0..255 or floating point 0..1. A channel without any contrast
            gets deviation 1.

    Raises:
        ValueError: no images, or other shapes. TypeError: other dtypes.
    """
    _check_pixels(images)
    if not images.numel():
        raise BadValue(f"no pixels in images {tuple(images.shape)}, so they have no mean.")
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    total = torch.zeros(2, images.shape[1], dtype=torch.float64)
    for block in images.split(4096):  # in blocks: float copies of a data set would be large
        pixels = block.cpu().to(torch.float64)
        total += torch.stack([pixels.sum((0, 2, 3)), pixels.square().sum((0, 2, 3))])
    mean, square = total / (images.numel() / images.shape[1])
    std = (square - mean.square()).clamp(min=0).sqrt() / scale
    std = torch.where(std > 1e-6, std, 1.0)
    return tuple((mean / scale).tolist()), tuple(std.tolist())


def _check_pixels(images: Tensor) -> None:
    if not isinstance(images, Tensor):
        raise BadType(f"images: a {type(images).__name__}; give a Tensor.")
    if images.ndim != 4:
        raise BadValue(f"images have the shape {tuple(images.shape)}; give [B, C, H, W].")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise BadType(f"images are {images.dtype}; give uint8 0..255 or floating point 0..1.")


@dataclass(frozen=True, eq=False)
class Mix:
    """A mix that was drawn, so that it can be done again.

    Attributes:
        params: torchvision's own: the Beta draw, and the box of CutMix.
        weight: lambda, the share of the first image; for CutMix that of the box as it fits in.
    """

    params: dict[str, Any]
    weight: float


class Mixer:
    """Mixup (Zhang et al., 2018) or CutMix (Yun et al., 2019), through torchvision's transforms.

    Args:
        config: `mix`, which must not be "none", `mix_alpha`, `mix_prob`.
        num_classes: K.
    """

    def __init__(self, config: AugmentConfig, num_classes: int) -> None:
        from torchvision.transforms import v2  # here, since it takes a second

        kinds = {"mixup": v2.MixUp, "cutmix": v2.CutMix}
        kind = kinds[one_of("mix", config.mix, kinds)]
        in_range("number of classes", num_classes, 1)
        self.prob = config.mix_prob
        self.transform = kind(alpha=config.mix_alpha, num_classes=num_classes)

    def draw(self, images: Tensor, generator: torch.Generator) -> Mix | None:
        """Draws a mix for a batch [B, C, H, W], or None where chance leaves it alone.

        Args:
            generator: on the CPU, so that no device has to be waited for.
        """
        drawn = float(torch.rand((), generator=generator))
        seed = int(torch.randint(2**62, (), generator=generator))
        if drawn >= self.prob:
            return None
        with torch.random.fork_rng(devices=[]):  # the transform draws from the global generator
            torch.default_generator.manual_seed(seed)
            params = self.transform.make_params([images])
        return Mix(params, float(params.get("lam_adjusted", params.get("lam"))))

    def mix_images(self, mix: Mix, images: Tensor, partners: Tensor) -> Tensor:
        """Mixes images [n, C, H, W] with their partners [n, C, H, W]."""
        check_shapes(images=(images, FLOAT, "nchw"), partners=(partners, FLOAT, "nchw"))
        # The transform pairs each row with the one before it; so the partner is put there.
        pairs = torch.stack([partners, images], 1).flatten(0, 1)
        params = {**mix.params, "labels": None, "batch_size": len(pairs)}
        mixed: Tensor = self.transform.transform(pairs, params)[1::2]
        return mixed
