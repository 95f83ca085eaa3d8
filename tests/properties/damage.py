"""Damaged files: Hypothesis changes real ones byte by byte.

TOASTLAB_LONG=1 tries more of it than `make test`.
"""

import os
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st

LONG = bool(os.environ.get("TOASTLAB_LONG"))
CASES = 2000 if LONG else 60  # of each kind of file
FUZZ = settings(max_examples=CASES, derandomize=True, deadline=None, database=None)
EXTREMES = (b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"1e999", b"-1", b'"', b"[")


@dataclass(frozen=True)
class Damage:
    """Changes of a file's bytes: what, and where, in shares of its length."""

    steps: tuple[tuple[str, float, float, bytes], ...]

    def __call__(self, content: bytes) -> bytes:
        for what, first, second, new in self.steps:
            n = len(content)
            a, b = sorted((int(first * n), int(second * n)))
            if what == "truncate":
                content = content[:a]
            elif what == "flip" and n:
                i = min(a, n - 1)
                content = (
                    content[:i] + bytes([content[i] ^ (new or b"\1")[0] or 1]) + content[i + 1 :]
                )
            elif what == "insert":
                content = content[:a] + new + content[a:]
            elif what == "overwrite":
                content = content[:a] + new + content[a + len(new) :]
            elif what == "cut":
                content = content[:a] + content[b:]
            elif what == "swap":
                content = content[b:] + content[a:b] + content[:a]
            elif what == "twice":
                content = content[:b] + content[a:]
        return content


# Headers are short and at the beginning: half of the places lie there.
SHARES = st.floats(0, 1) | st.floats(0, 1).map(lambda x: x**6)
NEWS = st.binary(max_size=8) | st.sampled_from(EXTREMES)
KINDS = st.sampled_from(["truncate", "flip", "insert", "overwrite", "cut", "swap", "twice"])
DAMAGES = st.lists(st.tuples(KINDS, SHARES, SHARES, NEWS), min_size=1, max_size=4).map(
    lambda steps: Damage(tuple(steps))
)


def refused(error: BaseException, name: str) -> None:
    """An error says in one line, that can be printed, which file it is about."""
    text = str(error)
    assert "\n" not in text
    assert name in text
    text.encode()
