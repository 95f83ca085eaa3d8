"""Sphinx: the docstrings of the library as reStructuredText, which autodoc reads.

They are written for people who read code: an indented block is an example or an equation, and |x|
is a length. Both mean something else in reStructuredText. What the comments on a config's fields
say is added: it is the help text on the command line too.
"""

import ast
import inspect
import re
import textwrap
from dataclasses import is_dataclass
from typing import Any

from sphinx.application import Sphinx

SECTION = re.compile(r"[A-Z][A-Za-z ]+:$")  # "Args:", "Returns:"; what follows is napoleon's
ANNOTATED = re.compile(r"~?(?:typing\.)?Annotated\[([^\[\],]+), [^\[\]]*\]")
CODE = re.compile(r"(`+[^`]*`+)")


def indent(line: str) -> int:
    """How many spaces a line begins with."""
    return len(line) - len(line.lstrip())


def readable(lines: list[str]) -> list[str]:
    """A docstring whose indented blocks are marked as such, and whose bars are bars.

    Args:
        lines: of the docstring, its own indentation taken off.
    """
    found: list[str] = []
    block = section = False
    before = ""  # the last line with something in it
    for i, line in enumerate(lines):
        if line.strip():
            if block and indent(line) < 4:
                block = False
            if indent(line) == 0:
                section = bool(SECTION.match(line)) and bool("".join(lines[i + 1 : i + 2]).strip())
            begins = (
                indent(line) >= 4 and not block and not section and not before.startswith(">>>")
            )
            if begins and indent(before) == 0 and found and not found[-1].strip():
                found += ["::", ""]
                block = True
            before = line
        code = block or line.lstrip().startswith((">>>", "..."))
        parts = [line] if code else CODE.split(line)
        found.append(
            "".join(x if code or x.startswith("`") else x.replace("|", r"\|") for x in parts)
        )
    return found


def comments(source: str) -> dict[str, str]:
    """Field of a class -> the comment behind it, or else above it.

    Args:
        source: of the class.
    """
    source = textwrap.dedent(source)
    rows, found = source.splitlines(), {}
    (definition,) = ast.parse(source).body
    for node in definition.body if isinstance(definition, ast.ClassDef) else ():
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        # Where a syntax tree says that a node ends is counted in bytes.
        last = rows[(node.end_lineno or 1) - 1].encode()[node.end_col_offset or 0 :].decode()
        said = [last] if last.strip().startswith("#") else []
        above = node.lineno - 2
        while not last.strip() and rows[above].strip().startswith("#"):
            said.insert(0, rows[above])
            above -= 1
        if said:
            found[node.target.id] = " ".join(
                text.strip().removeprefix("#").strip() for text in said
            )
    return found


def process(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Before napoleon reads the sections."""
    if isinstance(thing, type) and is_dataclass(thing) and "Attributes:" not in lines:
        fields = comments(inspect.getsource(thing))
        if fields:
            lines += ["", "Attributes:", *(f"    {key}: {text}" for key, text in fields.items())]
    lines[:] = readable(lines)


def plain(
    app: Sphinx,
    what: str,
    name: str,
    thing: object,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Types without their ranges, which the fields' comments say in words."""
    return signature and ANNOTATED.sub(r"\1", signature), returned


def skip(
    app: Sphinx, what: str, name: str, thing: Any, skipped: bool, options: object
) -> bool | None:
    """Leaves out what a module or a class has from somebody else's."""
    try:
        thing = inspect.unwrap(thing)
    except (AttributeError, TypeError, ValueError):
        return None
    owner = getattr(thing, "__module__", None) if callable(thing) else None
    return True if isinstance(owner, str) and not owner.startswith("toastlab") else None


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", process, priority=400)
    app.connect("autodoc-process-signature", plain)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
