"""Fuzzing: of many odd cases, each is answered rightly or refused in one plain line.

A case is refused if a `ValueError` or `TypeError` of ours says so: its last frame lies in the
library and its message ends as our messages do, so that no chance error of NumPy or PyTorch passes
for one. Every other error, and every RuntimeWarning, is a failure. TOASTLAB_LONG=1 makes more cases
than `make test`, and new ones each time.
"""

import os
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from torch import Tensor

import toastlab

LONG = bool(os.environ.get("TOASTLAB_LONG"))
LIBRARY = str(Path(toastlab.__file__).parent)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
OTHERS = (torch.int64, torch.int32, torch.uint8, torch.bool, torch.complex64)
FINITE = ("normal", "grid", "same", "large", "tiny", "mixed")
BAD = ("nan", "inf", "-inf")

settings.register_profile(
    "fuzz",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=25,
    phases=[Phase.generate],  # to shrink a failure takes minutes: that is for the long profile
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "fuzz-long",
    settings.get_profile("fuzz"),
    derandomize=False,
    print_blob=True,
    max_examples=300,
    phases=list(Phase),
)
PROFILE = settings.get_profile("fuzz-long" if LONG else "fuzz")

TRIES = 8  # more rounds, of other cases, for what was always refused

Draw = Callable[[st.SearchStrategy[Any]], Any]
# Name of a test -> what it fuzzes, and how many cases it makes.
COVERED: dict[str, tuple[str, ...]] = {}
CASES: dict[str, int] = {}
_answered: Counter[str] = Counter()


class Refused:
    """What `attempt` gives where the library refuses; `why` is its message."""

    def __init__(self, error: Exception) -> None:
        self.why = str(error)


def name_of(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def fuzz(*things: Any, part: float = 1.0) -> Callable[[Callable[[Draw], None]], Callable[[], None]]:
    """Makes a test of a body that takes `draw` and is one case.

    Args:
        things: functions and classes that it must try through `attempt`, and that must answer at
            least once.
        part: of the profile's number of cases, for slow ones.
    """

    def made(body: Callable[[Draw], None]) -> Callable[[], None]:
        name, wanted = (
            f"{body.__module__}.{body.__name__}",
            max(3, int(part * PROFILE.max_examples)),
        )
        COVERED[name], CASES[name] = tuple(map(name_of, things)), wanted
        done = 0

        def case(data: st.DataObject) -> None:
            nonlocal done
            body(data.draw)
            done += 1

        def test() -> None:
            nonlocal done
            done = 0
            before = Counter(_answered)
            with torch.random.fork_rng(devices=[]):
                settings(PROFILE, max_examples=wanted)(given(st.data())(case))()
                assert done >= wanted, f"{done} cases instead of {wanted}"
                # Which cases are made is another matter in every version of hypothesis, so that
                # few of them may all happen to be refused.
                for more in range(1, TRIES + 1):
                    never = [n for n in COVERED[name] if _answered[n] == before[n]]
                    if never:
                        again = settings(PROFILE, max_examples=wanted, derandomize=False)
                        seed(more)(again(given(st.data())(case)))()
            assert not never, f"never answered: {never}"

        test.__name__, test.__doc__, test.__module__ = body.__name__, body.__doc__, body.__module__
        return test

    return made


def attempt(thing: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
    """What it gives for these arguments, or `Refused`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            answer = thing(*args, **options)
    except (ValueError, TypeError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        ours = last.startswith(LIBRARY) and str(error).endswith(".") and len(str(error)) > 20
        if not ours:
            raise AssertionError(f"not an error of ours: {error!r}") from error
        return Refused(error)
    _answered[name_of(thing)] += 1
    return answer


def some(draw: Draw, choices: Sequence[Any]) -> Any:
    return draw(st.sampled_from(list(choices)))


def generator(draw: Draw) -> torch.Generator:
    return torch.Generator().manual_seed(draw(st.integers(0, 2**20)))


def numbers(
    draw: Draw, *shape: int, dtype: torch.dtype = torch.float32, kinds: Sequence[str] = FINITE
) -> Tensor:
    """Floating-point numbers of all sizes up to 1e4, some rows alike, in an odd memory layout.

    `kinds` may name those of `BAD`: then one of the numbers is such.
    """
    kind, g = some(draw, kinds), generator(draw)
    x = torch.randn(shape, generator=g, dtype=torch.float64) * 3
    if kind == "grid":
        x = x.round()
    elif kind == "same":
        x = torch.full(shape, draw(st.floats(-1e4, 1e4)), dtype=torch.float64)
    elif kind == "large":
        x = (x * 1e4).clamp(-1e4, 1e4)
    elif kind == "tiny":
        x = x * 10.0 ** draw(st.integers(-40, -3))
    elif kind == "mixed":
        x = x * 10.0 ** torch.randint(-6, 4, shape, generator=g)
    elif kind in BAD and x.numel():
        x.view(-1)[int(torch.randint(x.numel(), (), generator=g))] = float(kind)
    return laid(draw, x.to(dtype))


def laid(draw: Draw, x: Tensor) -> Tensor:
    """The same values with other strides."""
    how = some(draw, ("plain", "steps", "turned", "offset"))
    if how == "steps" and x.ndim:
        return torch.stack([x, torch.zeros_like(x)], x.ndim).flatten(-2)[..., ::2]
    if how == "turned" and x.ndim > 1:
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    if how == "offset" and x.ndim:
        return torch.cat([x[:1], x])[min(1, len(x)) :]
    return x


def labels_of(draw: Draw, n: int, k: int, *, full: bool = False) -> Tensor:
    """[n] int64 in 0..k-1; often some class is empty or has one sample, unless `full`."""
    g = generator(draw)
    if full or draw(st.booleans()):
        y = torch.randint(k, (n,), generator=g)
    else:
        y = torch.full((n,), draw(st.integers(0, k - 1)))
        if n and draw(st.booleans()):
            y[0] = draw(st.integers(0, k - 1))
    return laid(draw, y)


def spoil(draw: Draw, tensors: dict[str, Any]) -> None:
    """Makes one of the tensors wrong: in shape, dtype or device, or no tensor at all."""
    name = some(draw, sorted(tensors))
    x = tensors[name]
    how = some(draw, ("longer", "dimension", "dtype", "meta", "list") if x.ndim else ("dtype",))
    if how == "longer":
        tensors[name] = torch.cat([x, x.new_ones(1, *x.shape[1:])])
    elif how == "dimension":
        tensors[name] = x.unsqueeze(some(draw, (0, -1)))
    elif how == "dtype":
        others = OTHERS if x.is_floating_point() else {*OTHERS, *FLOATS} - {x.dtype}
        tensors[name] = x.to(some(draw, sorted(others, key=str)))
    else:
        tensors[name] = x.to("meta") if how == "meta" else x.tolist()
