"""A loop over a stream: what is left out, or does not belong to the method, is told at once."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.helpers import tiny
from toastlab.core.errors import LoopError, ToastlabError
from toastlab.core.stream import Batch, Stream
from toastlab.methods import CONFIGS, Plan, ToastConfig
from toastlab.methods.base import Method

B, K = 16, 4


def build(name: str = "toast", **options: Any) -> tuple[Method, Stream]:
    data = tiny(**options)
    method = CONFIGS[name]().build(data.train.labels, K, B)
    if method.needs_plan and name != "byot":
        method.setup(nn.Identity(), torch.zeros(2, 1, 8, 8), Plan(epochs=2))
    return method, Stream(data.train, B)


def give_back(method: Method, batch: Batch) -> None:
    method.update(torch.zeros(len(batch.index), K), batch)


@pytest.mark.parametrize("name", sorted(set(CONFIGS) - {"byot", "tf-kd-self"}))
def test_a_batch_that_was_never_given_back(name: str) -> None:
    method, stream = build(name)
    batches = method.batches(stream)
    next(batches)
    with pytest.raises(LoopError, match="the last batch never came back: call loss = method"):
        next(batches)


def test_the_last_batch_of_an_epoch_that_was_never_given_back() -> None:
    method, stream = build(n=B)  # an epoch is one batch
    with pytest.raises(LoopError, match="never came back"):
        for _ in method.batches(stream):
            pass


def test_evaluation_mode_takes_no_note_and_the_next_batch_says_so() -> None:
    method, stream = build()
    method.eval()
    batches = method.batches(stream)
    batch = next(batches)
    method(torch.zeros(B, K), batch)
    with pytest.raises(LoopError, match="in training mode"):
        next(batches)


def by_break(method: Method, stream: Stream) -> Iterator[Batch]:
    for number, batch in enumerate(method.batches(stream)):
        if number == 2:
            break
        yield batch


def by_islice(method: Method, stream: Stream) -> Iterator[Batch]:
    """All of its batches, and still not its end."""
    return islice(method.batches(stream), method.steps(stream))


def by_zip(method: Method, stream: Stream) -> Iterator[Batch]:
    return (batch for _, batch in zip(range(3), method.batches(stream), strict=False))


@pytest.mark.parametrize("epoch", [by_break, by_islice, by_zip])
def test_an_epoch_that_never_ends(epoch: Callable[[Method, Stream], Iterator[Batch]]) -> None:
    method, stream = build()
    for batch in epoch(method, stream):
        give_back(method, batch)
    told = r"the last epoch stopped after [34] of 4 batches and never ended: .* method\.end_epoch"
    with pytest.raises(LoopError, match=told):
        next(method.batches(stream))
    images, labels = stream.fetch(torch.arange(B)), method.labels[:B]
    with pytest.raises(LoopError, match=told):
        method.join(images, labels, torch.arange(B))
    method.end_epoch()  # as the message says
    for batch in method.batches(stream):
        give_back(method, batch)


def test_a_loaders_epoch_that_never_ends_before_one_from_a_stream() -> None:
    method, stream = build()
    batch = method.join(stream.fetch(torch.arange(B)), method.labels[:B], torch.arange(B))
    give_back(method, batch)
    with pytest.raises(LoopError, match=r"joined 16 samples and no end_epoch\(\) followed"):
        next(method.batches(stream))


def test_an_epoch_of_one_joined_batch_that_never_came_back() -> None:
    method, stream = build(n=B)
    method.join(stream.fetch(torch.arange(B)), method.labels, torch.arange(B))
    with pytest.raises(LoopError, match="never came back"):
        method.end_epoch()


def test_a_state_that_is_loaded_begins_an_epoch() -> None:
    """Stopped in the middle, gone back to the state before: nothing is open any more."""
    method, stream = build()
    saved = method.state_dict()
    next(method.batches(stream))
    method.load_state_dict(saved)
    for batch in method.batches(stream):
        give_back(method, batch)


# --- a stream of other data ----------------------------------------------------------------------


def turned(labels: Tensor) -> Tensor:
    return labels.flip(0)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (lambda y: y[:-1], "was built with 63 labels, but the stream has 64 samples"),
        (lambda y: torch.cat([y, y]), "was built with 128 labels, but the stream has 64 samples"),
        (turned, "other labels than the stream has, or in another order"),
        (lambda y: (y + 1) % K, "other labels than the stream has"),
        (lambda y: y.to("meta"), "lies on meta, but the stream's labels on cpu"),
    ],
    ids=["fewer", "more", "order", "values", "device"],
)
def test_a_stream_of_other_labels(labels: Callable[[Tensor], Tensor], told: str) -> None:
    method, stream = build()
    method.labels = labels(method.labels)
    with pytest.raises(LoopError, match=told):
        method.batches(stream)  # at once, before a batch is asked for
    assert torch.equal(stream.pointer, torch.zeros_like(stream.pointer))


def test_a_stream_of_another_split_or_batch_size() -> None:
    data = tiny()
    flipped = replace(data.test, labels=(data.test.labels + 1) % K)
    method = ToastConfig().build(data.train.labels, K, B)
    with pytest.raises(LoopError, match=r"other labels .* \(data\.train\.labels\)\.$"):
        method.batches(Stream(flipped, B))
    with pytest.raises(LoopError, match="for batches of 16, but the stream has 32"):
        method.batches(Stream(data.train, 32))
    equal = replace(data.train, labels=data.train.labels.clone())
    assert len(next(method.batches(Stream(equal, B))).index) == B


def test_a_loader_is_no_source_of_images() -> None:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(8, 1)))
    with pytest.raises(TypeError, match=r"a DataLoader is no source of images.*method\.join") as e:
        Stream(loader, 2)
    assert isinstance(e.value, ToastlabError)


def test_the_checks_leave_copies_alone() -> None:
    """A method in the middle of an epoch can be copied, and the copy goes on by itself."""
    method, stream = build()
    batches = method.batches(stream)
    batch = next(batches)
    other = copy.deepcopy(method)
    give_back(method, batch)
    next(batches)
    give_back(other, batch)
    other.end_epoch()
