"""Sphinx: the library's names from their docstrings, room by room.

`{room} methods` on a page documents what the modules of `toastlab/methods` define, and
`{public}` lists the names that `toastlab` itself gives, each with its first sentence.
"""

import importlib
import inspect
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import toastlab

PACKAGE = Path(toastlab.__file__).parent


def modules(room: str) -> list[str]:
    """Dotted names of a room's modules, those of folders in it too, without private ones."""
    files = sorted((PACKAGE / room).rglob("*.py"))
    dotted = [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files]
    return [name for name in dotted if not name.rpartition(".")[2].startswith("_")]


def summary(thing: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def home(name: str) -> str:
    """Where a public name is written down: the module that defines it."""
    thing = getattr(toastlab, name)
    return f"{thing.__module__}.{thing.__qualname__}"


class Room(SphinxDirective):
    """Every module of a room under a heading of its own."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        parts = []
        for name in modules(self.arguments[0]):
            module = importlib.import_module(name)
            self.env.note_dependency(inspect.getfile(module))
            short = name.removeprefix(f"toastlab.{self.arguments[0]}.")
            parts.append(
                f"## {short}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n"
            )
        return self.parse_text_to_nodes("\n".join(parts), allow_section_headings=True)


class Public(SphinxDirective):
    """The names that `from toastlab import ...` gives, as a table."""

    def run(self) -> list[nodes.Node]:
        rows = ["| name | what it is |", "|---|---|"]
        for name in toastlab.__all__:
            text = summary(getattr(toastlab, name)).replace("|", "\\|")
            rows.append(f"| {{py:obj}}`{name} <{home(name)}>` | {text} |")
        return self.parse_text_to_nodes("\n".join(rows))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("room", Room)
    app.add_directive("public", Public)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
