"""Mixup and CutMix inside the training step, and what they mean for carried samples.

Labels follow the image: the batch learns each image's partner and weight, from which every method
mixes its targets. For carried samples there are three readings [R]: they stay unmixed (default),
they repeat the mix in which their past prediction was made, or they are mixed anew like the rest
and the method mixes the stored past predictions too.
"""

from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor

from toastlab.core.errors import one_of
from toastlab.core.stream import Batch, Stream
from toastlab.data.augment import Mix, Mixer
from toastlab.methods.plan import MixedCarry


class Mixing:
    """Mixes augmented batches.

    Args:
        mixer: draws and applies the mix.
        carried: "unmixed", "repeat" or "stored".
        prepare: the training augmentation, for partners that are fetched again.
        seed: of the mixes.
    """

    def __init__(
        self, mixer: Mixer, carried: MixedCarry, prepare: Callable[[Tensor], Tensor], seed: int
    ) -> None:
        one_of("mixed carry", carried, get_args(MixedCarry))
        self.mixer, self.carried, self.prepare = mixer, carried, prepare
        self.generator = torch.Generator().manual_seed(seed)
        self._last: tuple[Mix, Tensor, Tensor] | None = None  # mix, index [B], partner [B]

    def start_epoch(self) -> None:
        """Forgets the last mix: an epoch depends on nothing that a checkpoint does not hold."""
        self._last = None

    def __call__(self, images: Tensor, batch: Batch, stream: Stream) -> Tensor:
        """Mixes images [B, C, H, W] float32 and writes partner and weight into the batch."""
        last, self._last = self._last, None
        mix = self.mixer.draw(images, self.generator)
        mixed, index, carried = images, batch.index, batch.carried
        if mix is not None:
            mixed = self.mixer.mix_images(mix, images, images.roll(1, 0))
            batch.partner = index.roll(1)
            batch.weight = torch.full_like(batch.weight, mix.weight)
        if self.carried == "unmixed":
            mixed = torch.where(carried[:, None, None, None], images, mixed)
            batch.partner = torch.where(carried, index, batch.partner)
            batch.weight = torch.where(carried, 1.0, batch.weight)
        elif self.carried == "repeat":
            mixed = self._repeat(images, mixed, batch, stream, last)
        batch.partner_labels = stream.labels[batch.partner]
        if mix is not None:
            self._last = (mix, index, batch.partner)
        return mixed

    def _repeat(
        self,
        images: Tensor,
        mixed: Tensor,
        batch: Batch,
        stream: Stream,
        last: tuple[Mix, Tensor, Tensor] | None,
    ) -> Tensor:
        """Carried rows get the partner and the mix they had one batch ago, or none if none."""
        carried, again, partner, weight = batch.carried, images, batch.index, 1.0
        if last is not None:
            mix, last_index, last_partner = last
            position = (batch.index[:, None] == last_index).int().argmax(1)
            partner, weight = last_partner[position], mix.weight
            again = self.mixer.mix_images(mix, images, self.prepare(stream.fetch(partner)))
        batch.partner = torch.where(carried, partner, batch.partner)
        batch.weight = torch.where(carried, weight, batch.weight)
        return torch.where(carried[:, None, None, None], again, mixed)
