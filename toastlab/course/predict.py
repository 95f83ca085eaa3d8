"""A prediction, made before the notebook shows what is true: who has chosen wants to know."""

from toastlab.core.errors import BadType, BadValue, one_of
from toastlab.course.card import Card


class Prediction:
    """A question with choices. `choose` comes in the cell that asks, `answer` in a later one.

    Args:
        question: one sentence or two.
        choices: letter -> what it stands for; at least two.

    Raises:
        ValueError: fewer than two choices, or an empty text. TypeError: a text that is none.

    Example:
        >>> softer = Prediction("Which temperature is softer?", a="0.5", b="2")
        >>> softer.choose(...)
        Predict: Which temperature is softer?
          a  0.5
          b  2
        Put your letter, as "a", in place of the dots and run the cell again.
        >>> softer.choose("a")
        You predict: a, 0.5
        Read on: the answer comes below.
        >>> softer.answer("b")
        Answer: b, 2
        You predicted a, 0.5
    """

    def __init__(self, question: str, **choices: str) -> None:
        if len(choices) < 2:
            raise BadValue(f"{len(choices)} choice; give at least two, as a='...', b='...'.")
        for name, text in {"question": question, **choices}.items():
            if not isinstance(text, str):
                raise BadType(f"{name} must be a text, not {type(text).__name__}.")
            if not text.strip():
                raise BadValue(f"{name} is empty; write what the reader is to read.")
        self.question, self.choices, self.chosen = question, choices, ""

    def choose(self, letter: object) -> Card:
        """Takes note of the reader's choice; never raises, since the reader writes it.

        Args:
            letter: of a choice; `...` for none yet.
        """
        if letter is ...:
            return Card(self._asked('Put your letter, as "a", in place of the dots'))
        if not isinstance(letter, str) or letter not in self.choices:
            return Card(self._asked(f"{letter!r} is none of these. Put one letter, in quotes,"))
        self.chosen = letter
        return Card(f"You predict: {self._said(self.chosen)}\nRead on: the answer comes below.")

    def answer(self, letter: str) -> Card:
        """What is true, and what the reader predicted.

        Args:
            letter: the right choice; best computed in the cell that shows why.

        Raises:
            ValueError: there is no such choice.
        """
        right = self._said(one_of("answer", letter, tuple(self.choices)))
        if not self.chosen:
            said = "You made no prediction. Try the next one before you read on."
        elif self.chosen == letter:
            said = "So you predicted."
        else:
            said = f"You predicted {self._said(self.chosen)}"
        return Card(f"Answer: {right}\n{said}")

    def _said(self, letter: str) -> str:
        return f"{letter}, {self.choices[letter]}"

    def _asked(self, what: str) -> str:
        lines = [f"  {letter}  {text}" for letter, text in self.choices.items()]
        end = f"{what} and run the cell again."
        return "\n".join([f"Predict: {self.question}", *lines, end])
