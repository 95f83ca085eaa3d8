"""Finds what is hard to read in the notebooks: long sentences, and phrases that nobody understood.

    .venv/bin/python notebooks/readable.py            # all of them
    .venv/bin/python notebooks/readable.py 03 10      # those that begin so

A test holds the notebooks of `REWRITTEN` to it; whoever rewrites one adds it there.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
REWRITTEN = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11")  # whose form the tests hold, see README.md
MOST_WORDS = 30  # of a sentence

# Read by three readers and stumbled over: private words, raw names, sentences that say nothing.
PHRASES = (
    r"the carry visits",
    r"mistakes know",
    r"interval holds",
    r"who claims",
    r"cells without a say",
    r"stand in the rows too",
    r"readers may expect",
    r"the larger the entropy of a target",
    r"a network never told",
    r"within seed noise",
    r"test_\w+|total_passes|T_m\b|p_holm",
    r"p 0\.000",
    r"\bNaN\b",
    r"\w+Config\(\w+=\w+, ",
)
# What is no prose: formulas, code, targets of links, headings' and lists' marks.
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.S)
CODE = re.compile(r"```.*?```|`[^`]*`", re.S)
LINK = re.compile(r"\]\([^)]*\)")
MARK = re.compile(r"^[ \t]*(?:#+|[*-]|\d+\.)[ \t]+", re.M)
END = re.compile(r"(?<=[.!?])[\"')\]*_]*\s+(?=[\"'(\[*_]*[A-Z0-9])|\n\s*\n")
WORD = re.compile(r"[\w'’.-]*\w")


def sentences(text: str) -> Iterator[str]:
    """The sentences of a markdown text; a formula or a piece of code counts as a word."""
    prose = LINK.sub("]", CODE.sub(" code ", FORMULA.sub(" formula ", text)))
    prose = re.sub(r"^(#+ .*)$", r"\1\n", prose, flags=re.M)  # a heading ends with its line
    prose = "\n\n".join(re.split(r"\n(?=\s*(?:#+|[*-]|\d+\.)\s|\|)", prose))
    for part in END.split(MARK.sub("", prose)):
        if not part.lstrip().startswith("|"):  # a table
            yield " ".join(part.split())


def found_in(text: str) -> list[str]:
    """What is hard to read in a markdown text, a line each."""
    found = []
    for sentence in sentences(text):
        count = len(WORD.findall(sentence))
        if count > MOST_WORDS:
            found.append(f"{count} words: {sentence}")
    prose = CODE.sub(" ", FORMULA.sub(" ", text))
    for phrase in PHRASES:
        found += [f"phrase: {m[0]}" for m in re.finditer(phrase, " ".join(prose.split()), re.I)]
    return found


def texts(source: Path) -> Iterator[str]:
    """The markdown cells of a source in percent format."""
    for cell in re.split(r"^# %%", source.read_text(encoding="utf-8"), flags=re.M)[1:]:
        head, _, body = cell.partition("\n")
        if "[markdown]" in head:
            yield re.sub(r"^# ?", "", body, flags=re.M)


def main(*begins: str) -> int:
    """Prints what is found in the sources whose names begin so, or in all; 1 if there is anything."""
    count = 0
    for source in sorted((HERE / "src").glob("*.py")):
        if source.stem.startswith(begins or ("",)):
            for text in texts(source):
                for line in found_in(text):
                    print(f"{source.stem}: {line}")
                    count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
