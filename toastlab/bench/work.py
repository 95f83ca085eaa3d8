"""What one training step costs, counted without doing it: kernels, FLOPs, bytes, and memory.

The step is run on fake tensors, which have shapes and no contents, so that a ResNet-18 at B 128
takes a second and no memory. What is counted:

    launches: operations that compute something, views aside. Two for a convolution's backward (one
              gradient for the images, one for the weights), for padding (fill, copy) and for
              `topk` (select, sort); the optimizer is the fused one. A lower bound of the kernels
              that a GPU launches: libraries split some of them further.
    flops:    of matrix products and convolutions, two per multiply-add, as PyTorch counts them.
    bytes:    read and written by every such operation, as if nothing stayed in a cache.
    memory:   weights, gradients, optimizer state, what the forward pass keeps for the backward
              pass, and what lies on the device all the time.

Letters: N training samples, K classes, B samples of a batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from toastlab.bench.trainee import Trainee
from toastlab.data.augment import Augment, AugmentConfig
from toastlab.data.splits import Split
from toastlab.methods import MethodConfig, Plan
from toastlab.training.models import build

TWICE = ("aten.constant_pad_nd", "aten.topk")


@dataclass(frozen=True)
class StepWork:
    """One step, see above. Memory in bytes; `data` is the images, `method` what the method keeps
    (bank, tables, carry), `activations` what the backward pass needs."""

    launches: int
    flops: int
    bytes: int
    weights: int
    optimizer: int
    activations: int
    method: int
    data: int

    @property
    def memory(self) -> int:
        """Everything at once; gradients are as large as the weights."""
        return 2 * self.weights + self.optimizer + self.activations + self.method + self.data


def step_work(
    method: MethodConfig,
    model: str = "resnet18",
    *,
    num_classes: int = 100,
    batch_size: int = 128,
    samples: int = 50_000,
    shape: Sequence[int] = (3, 32, 32),
    augment: AugmentConfig | None = None,
    bf16: bool = False,
) -> StepWork:
    """Counts the second step of a run; the defaults are CIFAR-100's recipe.

    Args:
        shape: C, H, W of an image.
        augment: None is the recipes' crop and flip.
        bf16: under bf16 autocast.

    Raises:
        ValueError: an unknown network, or images too small for it.
    """
    augment = AugmentConfig(crop=4, flip=True) if augment is None else augment
    channels, size = shape[0], shape[-1]
    with FakeTensorMode(), torch.random.fork_rng(devices=[]):
        labels = torch.zeros(samples, dtype=torch.int64)
        images = torch.zeros(samples, *shape, dtype=torch.uint8)
        trainee = Trainee(
            method,
            Split(images, labels, labels),
            build(model, num_classes, channels, size),
            num_classes,
            batch_size,
            augment=Augment(augment, (0.5,) * channels, (0.25,) * channels),
            plan=Plan(epochs=3),
            teacher=lambda: build(model, num_classes, channels, size),
            bf16=bf16,
            fused=True,
        )
        modules, learner = trainee.modules, trainee.method
        for _ in range(2):  # the first makes the optimizer's state
            saved, flops, count = _Saved(*modules), FlopCounterMode(display=False), _Count()
            with saved, flops, count:
                trainee.step()
        held = [t for n, t in learner.state_dict().items() if not n.startswith("extra.")]
        state = [v for s in trainee.optimizer.state.values() for v in s.values()]
        weights = [t for m in modules for t in m.state_dict().values()]
        return StepWork(
            launches=count.launches,
            flops=flops.get_total_flops(),
            bytes=count.bytes,
            weights=_size(weights),
            optimizer=_size(state),
            activations=saved.bytes,
            method=_size([*held, learner.labels]),
            data=_size([images]),
        )


class _Count(TorchDispatchMode):
    """Launches, and bytes read and written."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.launches = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name, returns = str(func), func._schema.returns
        view = any(r.alias_info is not None and not r.alias_info.is_write for r in returns)
        if view or name.startswith("prim."):
            return out
        many = 2 if name.startswith(TWICE) else 1
        if name.startswith("aten.convolution_backward"):
            many = sum(args[-1][:2])  # which gradients are asked for
        self.launches += many
        self.bytes += _size(tree_leaves((args, kwargs, out)))
        return out


class _Saved(saved_tensors_hooks):
    """Bytes that autograd keeps between forward and backward, parameters aside."""

    def __init__(self, *modules: nn.Module) -> None:
        self.bytes = 0
        self._seen = {p.untyped_storage()._cdata for m in modules for p in m.state_dict().values()}
        super().__init__(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self.bytes += storage.nbytes()
        return tensor


def _size(tensors: Sequence[Any]) -> int:
    return sum(t.element_size() * math.prod(t.shape) for t in tensors if isinstance(t, Tensor))
