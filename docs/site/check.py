"""Looks through the built site: `python docs/site/check.py build/site`.

Every link inside it leads to a file that is there, and to a place in it that is there; no page asks
another host for a script, a style, a font or a picture; every picture has an alternative text.
Prints what is wrong, a line each, and fails where something is.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser loads by itself, and where its address stands.
LOADS = {
    **dict.fromkeys(("script", "img", "iframe", "source", "video", "audio", "embed"), ("src",)),
    "link": ("href",),
    "object": ("data",),
    "use": ("href",),
}
FOLLOWED = {"stylesheet", "icon", "preload", "modulepreload", "manifest", "search", "prefetch"}
STYLE_ADDRESS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
# An absolute address in a script may be loaded. These are not: names of formats, and documentation.
SCRIPT_ADDRESS = re.compile(r"""["'`](?:https?:)?//[\w.-]+\.[a-z]{2,}[^"'`\s]*""")
NO_ADDRESS = ("http://www.w3.org/", "https://pydata-sphinx-theme.readthedocs.io/")
PICTURE_FILE = re.compile(r"\.(png|jpe?g|svg|gif)$")


class Page(HTMLParser):
    """What a page has that can be asked for or led to.

    Attributes:
        places: the `id`s and names that a link can end at.
        links: addresses that a reader may follow.
        loaded: addresses that the browser asks for by itself.
        mute: pictures without an alternative text.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.mute: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "meta" and given.get("http-equiv") == "refresh":
            self.links.append(given["content"].partition("url=")[2])
        if tag != "link" or FOLLOWED & set(given.get("rel", "").split()):
            self.loaded += [given[key] for key in LOADS.get(tag, ()) if given.get(key)]
        self.loaded += [part.split()[0] for part in given.get("srcset", "").split(",") if part]
        self.loaded += addresses(given.get("style", ""))
        if tag == "img" and silent(given):
            self.mute.append(given.get("src", ""))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.loaded += addresses(data)
        elif self._inside == "script":
            self.loaded += script_addresses(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def silent(picture: dict[str, str]) -> bool:
    """Whether a picture lacks a text, or has a file's name for one; the title's sign needs none."""
    text = picture.get("alt", "").strip()
    if "logo__image" in picture.get("class", ""):
        return False
    return not text or bool(PICTURE_FILE.search(text))


def addresses(style: str) -> list[str]:
    """What a style sheet loads."""
    return [a or b for a, b in STYLE_ADDRESS.findall(style)]


def script_addresses(script: str) -> list[str]:
    """Other hosts that a script names in a string."""
    found = [text[1:] for text in SCRIPT_ADDRESS.findall(script)]
    return [text for text in found if not text.startswith(NO_ADDRESS)]


def foreign(address: str) -> bool:
    """Whether a browser would ask another host for it."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in ("http", "https", "ftp", "ws", "wss")


def local(address: str) -> bool:
    """Whether it is a file of the site, not a picture in the text or a mail."""
    return not foreign(address) and not urlsplit(address).scheme


def check(site: Path) -> list[str]:
    """All that is wrong with a built site, a line each.

    Args:
        site: the folder that holds its `index.html`.
    """
    # The theme leaves a template of its own among the static files.
    files = [file for file in sorted(site.rglob("*.html")) if file.parent.name != "_static"]
    pages = {file: Page(file.read_text(encoding="utf-8")) for file in files}
    wrong = [] if pages else [f"{site} holds no page."]
    for file, page in pages.items():
        name = file.relative_to(site).as_posix()
        wrong += [f"{name}: asks another host for {x}" for x in page.loaded if foreign(x)]
        wrong += [f"{name}: no alternative text for {x}" for x in page.mute]
        for address in dict.fromkeys([*page.links, *page.loaded]):
            if not local(address):
                continue
            parts = urlsplit(address)
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                wrong.append(f"{name}: leads nowhere: {address}")
            elif (
                parts.fragment
                and target in pages
                and (unquote(parts.fragment) not in pages[target].places)
            ):
                wrong.append(f"{name}: no such place there: {address}")
    for file in sorted([*site.rglob("*.css"), *site.rglob("*.js")]):
        text, name = file.read_text(encoding="utf-8"), file.relative_to(site).as_posix()
        asked = addresses(text) if file.suffix == ".css" else script_addresses(text)
        wrong += [f"{name}: asks another host for {x}" for x in asked if foreign(x)]
        if file.suffix == ".css":
            there = [unquote(urlsplit(x).path) for x in asked if local(x)]
            wrong += [
                f"{name}: leads nowhere: {x}" for x in there if not (file.parent / x).exists()
            ]
    return wrong


def main(site: str) -> int:
    """Prints what is wrong; 1 where something is."""
    folder = Path(site).resolve()
    wrong = check(folder)
    print("\n".join(wrong) if wrong else f"Every link in {site} leads somewhere.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
