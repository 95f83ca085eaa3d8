"""What the course says to a reader: a short text, which a notebook shows beside a coloured bar."""

import html

# The word that a card begins with -> its colour, of a palette that the colour-blind can read.
COLOURS = {
    "Right": "#0072b2",
    "Not yet": "#d55e00",
    "Not attempted yet": "#8c8c8c",
    "Hint": "#cc79a7",
    "Predict": "#8c8c8c",
    "You predict": "#cc79a7",
    "Answer": "#009e73",
    "Not answered yet": "#8c8c8c",
    "A model answer": "#009e73",
}
ALIGNED = ("Not yet",)  # whose further lines stand under each other, as in a terminal


class Card(str):
    """A text that begins with a word of `COLOURS` and a colon; further lines keep their breaks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        word, rest = self.split(":", 1)
        head, _, more = rest.partition("\n")
        tag = "pre" if word in ALIGNED else "div"
        below = f'<{tag} style="white-space: pre-wrap; margin: 0">{html.escape(more)}</{tag}>'
        return (
            f'<div style="border-left: 0.4em solid {COLOURS[word]}; padding-left: 0.8em">'
            f"<b>{word}:</b>{html.escape(head)}{below if more else ''}</div>"
        )
