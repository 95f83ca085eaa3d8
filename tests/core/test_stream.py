"""The stream: every sample once a pass, carried samples first, the host never asks."""

import pytest
import torch

from tests.helpers import tiny
from toastlab.core.stream import Stream

NONE = torch.zeros((), dtype=torch.int64)


def stream(n: int = 64, b: int = 16, seed: int = 0) -> Stream:
    return Stream(tiny(n).train, b, seed)


def test_one_pass_sees_every_sample_once() -> None:
    s = stream()
    s.start_epoch()
    seen = torch.cat([s.draw(NONE[None], NONE, 16)[0] for _ in range(4)])
    assert sorted(seen.tolist()) == list(range(64))


def test_rows_continue_over_epochs_without_loss() -> None:
    """With 60 samples and 16 places an epoch has 3 batches; no sample is ever left out."""
    s, seen = stream(60), []
    for _ in range(20):
        s.start_epoch()
        for _ in range(s.steps(16)):
            seen += s.draw(NONE[None], NONE, 16)[0].tolist()
    assert s.steps(16) == 3
    for start in range(0, len(seen) - 60, 60):
        assert sorted(seen[start : start + 60]) == list(range(60))


@pytest.mark.parametrize("count", [0, 3, 8])
def test_carried_come_first_and_replace_new_ones(count: int) -> None:
    s = stream()
    s.start_epoch()
    first, _ = s.draw(NONE[None], NONE, 16)
    carried = first[:8]
    index, images = s.draw(carried, torch.tensor(count), 16)
    assert index[:count].tolist() == carried[:count].tolist()
    assert torch.equal(images, s.source.images_at(index))
    fresh = index[count:].tolist()
    assert not set(fresh) & set(first.tolist())
    assert int(s.pointer) == 32 - count
    again, _ = s.draw(NONE[None], NONE, 16)
    assert not set(again.tolist()) & set(fresh), "what was not drawn comes next, nothing twice"


def test_seeds_and_state() -> None:
    a, b, c = stream(seed=1), stream(seed=1), stream(seed=2)
    draw = [x.draw(NONE[None], NONE, 16)[0] for x in (a, b, c)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
    kept = {k: v.clone() for k, v in a.state_dict().items()}
    ahead = []
    for _ in range(3):
        a.start_epoch()
        ahead += [a.draw(NONE[None], NONE, 16)[0].tolist() for _ in range(4)]
    c.load_state_dict(kept)
    behind = []
    for _ in range(3):
        c.start_epoch()
        behind += [c.draw(NONE[None], NONE, 16)[0].tolist() for _ in range(4)]
    assert ahead == behind


@pytest.mark.parametrize("size", [0, 1, 7, 66])
def test_bad_batch_sizes(size: int) -> None:
    with pytest.raises(ValueError, match=f"batch size is {size}, but must be even"):
        stream(64, size)
