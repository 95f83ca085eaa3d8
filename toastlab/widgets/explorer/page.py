"""The explorer as one HTML file that needs neither a kernel nor a network."""

import base64
import html
import json
import re
import zlib
from functools import cache
from pathlib import Path

from toastlab.core.errors import BadValue
from toastlab.disk.durable import write
from toastlab.widgets.explorer.data import Packed
from toastlab.widgets.sheet import sheet

WEB = Path(__file__).parent / "web"
SCRIPTS = ("store.js", "plot.js", "parts.js", "explorer.js")

# Nothing may be loaded, from anywhere: the page has it all.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob: data:">
<title>{title}</title>
<style>
html {{ color-scheme: light dark; }}
{style}
body {{ margin: 0; }}
main {{ min-height: 100vh; box-sizing: border-box; }}
</style>
<main id="explorer" aria-label="{title}"><p>This page needs a script, its own.</p></main>
<script type="application/json" id="data">{data}</script>
<script type="module">
{script}
{start}
</script>
</html>
"""
# Unpacks the arrays, and takes what was chosen from the page's address.
START = """
const { meta, arrays, state } = JSON.parse(document.getElementById("data").textContent);
const unpacked = async ([name, text]) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return [name, await new Response(stream).arrayBuffer()];
};
const buffers = Object.fromEntries(await Promise.all(Object.entries(arrays).map(unpacked)));
const store = mount(document.getElementById("explorer"), meta, buffers, true);
store.restore(state);
const linked = () => {
  try {
    const text = decodeURIComponent(location.hash.slice(1));
    if (text && text !== store.state()) store.restore(text);
  } catch {} // a link that does not fit leaves the page as it is
};
addEventListener("hashchange", linked);
linked();
"""


@cache
def script() -> str:
    """The page's code as one ES module: the files as they are, without the imports between them."""
    texts = [(WEB / name).read_text(encoding="utf-8") for name in SCRIPTS]
    inner = [re.sub(r"^export (?!default)", "", text, flags=re.M) for text in texts]
    return "".join(re.sub(r"^import .*\n", "", text, flags=re.M) for text in inner)


@cache
def style() -> str:
    """The page's style sheet: its own, and what it shares with the panels."""
    return (WEB / "explorer.css").read_text(encoding="utf-8") + sheet()


def write_page(path: Path | str, packed: Packed, title: str, state: str) -> Path:
    """Writes the page.

    Args:
        path: ends in .html; its folder exists.
        state: what is shown and selected first, see `view.to_state`.

    Raises:
        ValueError: another ending. OSError: it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise BadValue(f"{str(path)!r} is no name for a page; let it end in .html.")
    arrays = {
        name: base64.b64encode(zlib.compress(content)).decode()
        for name, content in packed.arrays.items()
    }
    data = json.dumps({"meta": packed.meta, "arrays": arrays, "state": state})
    text = PAGE.format(
        title=html.escape(title),
        style=style(),
        data=data.replace("<", "\\u003c"),  # in a class's name it could end the element
        script=script().replace("export default", "const widget ="),
        start=START,
    )
    write(path, text.encode("utf-8", "replace"))
    return path
