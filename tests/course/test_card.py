"""What the course says to a reader: cards, predictions, open questions."""

import re
from typing import Any

import pytest
from IPython.core.formatters import DisplayFormatter

from toastlab.course import Prediction, check, discuss, hint
from toastlab.course.card import COLOURS, Card
from toastlab.course.exercises import EXERCISES
from toastlab.course.questions import FEWEST, QUESTIONS


def asks() -> Prediction:
    return Prediction("Which is softer?", a="T = 0.5", b="T = 2", c="neither")


CARDS = {
    "Right": check("entropy", EXERCISES["entropy"].solution),
    "Not yet": check("entropy", lambda q: q.sum(-1)),
    "Not attempted yet": check("entropy", lambda q: ...),
    "Hint": hint("entropy", 1),
    "Predict": asks().choose(...),
    "You predict": asks().choose("a"),
    "Answer": asks().answer("b"),
    "Not answered yet": discuss("too_soft", ""),
    "A model answer": discuss("too_soft", "word " * FEWEST),
}


@pytest.mark.parametrize("word", COLOURS)
def test_a_notebook_shows_it_without_quotes_beside_its_colour(word: str) -> None:
    said = CARDS[word]
    data, _ = DisplayFormatter().format(said)  # type: ignore[no-untyped-call]
    assert data["text/plain"] == str(said)
    assert f"<b>{word}:</b>" in data["text/html"]
    assert re.findall("solid (#[0-9a-f]{6})", data["text/html"]) == [COLOURS[word]]
    assert data["text/html"].count("<div") == data["text/html"].count("</div>")


def test_what_a_reader_writes_is_no_html() -> None:
    assert "&lt;b&gt;" in Card("Not yet: <b>\n  got: <b>")._repr_html_()
    assert "<b>x" not in Card("Predict: <b>x\n<b>x")._repr_html_()


def test_a_verdict_is_right_or_not_in_colours_that_differ() -> None:
    assert len({COLOURS[w] for w in ("Right", "Not yet", "Not attempted yet")}) == 3


def test_a_prediction_asks_until_one_choice_is_made() -> None:
    one = asks()
    asked = "Predict: Which is softer?\n  a  T = 0.5\n  b  T = 2\n  c  neither\n"
    assert one.choose(...) == asked + (
        'Put your letter, as "a", in place of the dots and run the cell again.'
    )
    for odd in ("d", "A", "", 1, None, ["a"], "ab"):
        said = one.choose(odd)
        assert said.startswith(asked)
        assert f"{odd!r} is none of these" in said
    assert one.answer("b") == (
        "Answer: b, T = 2\nYou made no prediction. Try the next one before you read on."
    )
    assert one.choose("a") == "You predict: a, T = 0.5\nRead on: the answer comes below."
    assert one.answer("b") == "Answer: b, T = 2\nYou predicted a, T = 0.5"
    assert one.answer("a") == "Answer: a, T = 0.5\nSo you predicted."


@pytest.mark.parametrize(
    ("question", "choices", "message"),
    [
        ("Which?", {"a": "one"}, "1 choice; give at least two"),
        ("", {"a": "one", "b": "two"}, "question is empty"),
        ("Which?", {"a": "one", "b": " "}, "b is empty"),
        (3, {"a": "one", "b": "two"}, "question must be a text, not int"),
    ],
)
def test_a_prediction_that_cannot_be(question: Any, choices: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Prediction(question, **choices)


def test_an_answer_that_is_no_choice() -> None:
    with pytest.raises(ValueError, match="unknown answer 'd'"):
        asks().answer("d")


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_model_answer_comes_after_the_reader_s_own(name: str) -> None:
    question = QUESTIONS[name]
    for short in ("", "\n\n", "I do not know."):
        said = discuss(name, short)
        assert said.startswith("Not answered yet: write two or three sentences")
        assert f"about {question.minutes} minutes, difficulty {question.difficulty} of 3" in said
        assert question.model not in said
    said = discuss(name, "It depends on what the samples have in common, I think.")
    assert said.startswith(f"A model answer: {question.model}\n")
    assert said.count("\n  - ") == question.points >= 2


def test_an_open_question_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="Did you mean 'mean_keeps'"):
        discuss("mean_keep", "")
    with pytest.raises(TypeError, match="must be a text in quotes, not ellipsis"):
        discuss("mean_keeps", ...)  # type: ignore[arg-type]
