"""Draws the rooms of the library from its own imports: a picture, and a table in architecture.md.

    python docs/rooms.py

Which room may import which is a rule, and stands in tests/test_packaging.py; an import against it
is that test's business and is not drawn here.
"""

import ast
import re
import sys
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "toastlab"
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "pictures" / "rooms.svg"
BEGIN, END = "<!-- made by docs/rooms.py -->", "<!-- end of what docs/rooms.py made -->"
PYPI = {"sklearn": "scikit-learn", "PIL": "pillow", "IPython": "ipython", "dask": "distributed"}
WIDE, HIGH, ROW = 120, 36, 76  # a box, and from one floor to the next
STYLE = """<style>
    .page { fill: #ffffff; stroke: #d0d0d0 } .box { fill: #f4f4f4; stroke: #444444 }
    .torch { fill: #dbe9f9; stroke: #1f5fa8 } text { fill: #1a1a1a; text-anchor: middle }
    .way { fill: none; stroke: #777777; stroke-width: 1.5; marker-end: url(#tip) }
    .tip { fill: #777777 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #16191d; stroke: #3a3f46 } .box { fill: #262b31; stroke: #b9bfc7 }
      .torch { fill: #17304d; stroke: #7fb4f0 } text { fill: #eceff2 }
    }
  </style>"""
TORCH_ONLY = ("core", "medoids", "methods")  # the methods alone, coloured
Arrows = dict[str, set[str]]


def order() -> list[str]:
    """The rooms, each after those that it may import, as the test has them."""
    tree = ast.parse((ROOT / "tests" / "test_packaging.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ROOMS":
            return [room for floor in ast.literal_eval(node.value) for room in floor]
    raise LookupError("tests/test_packaging.py has no ROOMS.")


def imports(room: str) -> set[str]:
    """Dotted names of all that the files of a room import, wherever they do so."""
    names = set()
    for file in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module == "toastlab":
                names |= {f"toastlab.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
    return names


def arrows() -> Arrows:
    """Each room -> the rooms before it that it imports."""
    rooms = order()
    parts = {room: [name.split(".") for name in imports(room)] for room in rooms}
    return {
        room: {p[1] for p in parts[room] if p[0] == "toastlab" and p[1:] and p[1] in rooms[:i]}
        for i, room in enumerate(rooms)
    }


def needs(room: str) -> list[str]:
    """Packages of others that a room imports."""
    tops = {name.split(".")[0] for name in imports(room)}
    tops -= {"toastlab", "__future__", *sys.stdlib_module_names}
    return sorted(PYPI.get(top, top) for top in tops)


def lines(room: str) -> int:
    """Lines of a room, to a hundred."""
    files = (PACKAGE / room).rglob("*.py")
    return round(sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files), -2)


def floors(graph: Arrows) -> dict[str, int]:
    """How many imports deep each room stands; 0 imports no other room."""
    floor: dict[str, int] = {}
    for room in order():
        floor[room] = max((floor[other] + 1 for other in graph[room]), default=0)
    return floor


def direct(graph: Arrows) -> Arrows:
    """Only the arrows that no chain of other arrows stands for: those that are drawn."""
    below: Arrows = {}
    for room in order():
        below[room] = graph[room].union(*(below[other] for other in graph[room]))
    return {
        room: {o for o in others if not any(o in below[x] for x in others - {o})}
        for room, others in graph.items()
    }


def positions(ways: list[list[str]], floor: dict[str, int]) -> dict[str, float]:
    """x of every box and of every bend of a line, so that what is joined stands near each other.

    Every box moves to the mean x of what it is joined with, and those that then overlap move
    apart; floor by floor, many times.

    Args:
        ways: of each arrow the room it starts from, its bends, and the room it leads to.
    """
    x = {name: 0.0 for way in ways for name in way}
    rows: list[list[str]] = [[] for _ in range(max(floor.values()) + 1)]
    for name in x:
        rows[floor[name]].append(name)
    near: dict[str, list[str]] = {name: [] for name in x}
    for way in ways:
        for a, b in pairwise(way):
            near[a].append(b)
            near[b].append(a)
    for row in rows:
        for i, name in enumerate(row):
            x[name] = i * 1.0
    for sweep in range(60):
        for row in rows if sweep % 2 else reversed(rows):
            wanted = {name: sum(x[n] for n in near[name]) / max(1, len(near[name])) for name in row}
            row.sort(key=lambda name: (wanted[name], name))
            at = [wanted[name] for name in row]
            for i in range(1, len(row)):
                gap = (sum(WIDE if "-" not in n else 24 for n in row[i - 1 : i + 1])) / 2 + 24
                at[i] = max(at[i], at[i - 1] + gap)
            shift = sum(wanted[n] - a for n, a in zip(row, at, strict=True)) / len(row)
            x.update({name: a + shift for name, a in zip(row, at, strict=True)})
    return x


def drawing(graph: Arrows) -> str:
    """The rooms as an SVG: an arrow from each room to those right below it that it imports."""
    floor = floors(graph)
    ways = []
    for room, others in direct(graph).items():
        for other in sorted(others):
            bends = [f"{room}-{other}-{f}" for f in range(floor[room] - 1, floor[other], -1)]
            floor |= {bend: int(bend.split("-")[2]) for bend in bends}
            ways.append([room, *bends, other])
    x = positions(ways, floor)
    left, top = min(x.values()) - WIDE / 2 - 24, max(floor.values())
    width, height = max(x.values()) + WIDE / 2 + 24 - left, top * ROW + HIGH + 48
    x = {name: round(value - left) for name, value in x.items()}
    y = {name: 24 + (top - f) * ROW for name, f in floor.items()}
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="15">',
        f"  <title>The rooms of toastlab</title>\n  {STYLE}",
        '  <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>',
        f'  <rect class="page" x="1" y="1" width="{width - 2:.0f}" height="{height - 2}" rx="12"/>',
    ]
    for way in ways:
        line = f"M{x[way[0]]} {y[way[0]] + HIGH}"
        for a, b in pairwise(way):
            middle = (y[a] + HIGH + y[b]) / 2
            line += f"C{x[a]} {middle:g} {x[b]} {middle:g} {x[b]} {y[b]}"
            line += f"V{y[b] + HIGH}" if b != way[-1] else ""
        out.append(f'  <path class="way" d="{line}"/>')
    for room in graph:
        kind = "torch" if room in TORCH_ONLY else "box"
        out.append(
            f'  <rect class="{kind}" x="{x[room] - WIDE // 2}" y="{y[room]}" width="{WIDE}" '
            f'height="{HIGH}" rx="8"/>\n  <text x="{x[room]}" y="{y[room] + 23}">{room}</text>'
        )
    return "\n".join([*out, "</svg>"]) + "\n"


def table(graph: Arrows) -> str:
    """Markdown: floor, imports, packages and size of each room, the top floor first."""
    floor = floors(graph)
    text = ["| room | floor | imports | packages | lines, about |", "|---|---|---|---|---|"]
    for room in sorted(graph, key=lambda r: (-floor[r], r)):
        others = ", ".join(sorted(graph[room], key=order().index)) or "nothing of ours"
        packages = ", ".join(needs(room)) or "none"
        text.append(f"| `{room}` | {floor[room]} | {others} | {packages} | {lines(room):,} |")
    total = sum(len(others) for others in graph.values())
    text.append(
        f"\n{len(graph)} rooms on {max(floor.values()) + 1} floors, {total} arrows, none upward."
    )
    return "\n".join(text)


def main() -> None:
    """Writes the picture, and the table into the page."""
    graph = arrows()
    PICTURE.write_text(drawing(graph), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    block = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.S)
    PAGE.write_text(block.sub(f"{BEGIN}\n{table(graph)}\n{END}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
