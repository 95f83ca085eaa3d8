"""The lecture: its slides in order, each made of pieces of the notebooks.

A piece is found by words that stand in one cell only, so that a notebook may change around it. To
change the lecture, change this list and run `make slides`; a piece that is not found is an error.
"""

from dataclasses import dataclass
from typing import Literal

# What is taken: a paragraph of a text, a cell's figures, what it prints, a prediction or its answer
Kind = Literal["text", "figure", "printed", "ask", "answer", "picture"]


@dataclass(frozen=True)
class Piece:
    """A part of a notebook.

    Attributes:
        book: how the notebook's name begins; of a `picture`, the page of the repository that shows it.
        kind: what is taken of the cell.
        words: that stand in this paragraph or code cell of the notebook and in no other.
    """

    book: str
    kind: Kind
    words: str


@dataclass(frozen=True)
class Slide:
    """One slide.

    Attributes:
        part: of the lecture, as in the table of README.md; minutes: that it takes.
        title: what the slide says; pieces: what it shows; notes: for whoever speaks.
    """

    part: str
    minutes: float
    title: str
    pieces: tuple[Piece, ...]
    notes: str


def _of(book: str, *pieces: tuple[Kind, str]) -> tuple[Piece, ...]:
    return tuple(Piece(book, kind, words) for kind, words in pieces)


SLIDES = (
    Slide("The idea", 3, "A network that learns from what it said itself",
          _of("docs/index.md", ("picture", "pictures/toast.svg")),
          "No teacher network. Stage 1 softens targets, stage 2 carries samples. "
          "Say what a logit is, and that a bank keeps the last ones of every sample."),
    Slide("The idea", 3, "What the source states, and what is a reading",
          _of("05", ("text", "**[S]** Stage 1: hard targets")),
          "The abstract is public, the equations are not. Keep [S] and [R] apart all day."),
    Slide("Soft targets", 4, "Hard and soft targets",
          _of("02", ("text", "becomes a *hard* target"), ("text", r"$$p_k(z; T)")),
          "Let the room compute it for z = (2, 0) and T = 1, then T = 2."),
    Slide("Soft targets", 3, "One shirt, after epoch 3",
          _of("02", ("figure", "plots.soft_target_bars("), ("text", "At $T = 1$ that is")),
          "Ask what the second bar is, before anybody reads its name."),
    Slide("Soft targets", 3, "Predict first",
          _of("02", ("ask", "early = Prediction("), ("ask", "late = Prediction(")),
          "Hands up for each letter, and write the counts on the board."),
    Slide("Soft targets", 4, "Early nearly all, late clearly fewer",
          _of("02", ("printed", "near[epoch] = float("), ("answer", 'early.answer("c")'),
              ("answer", 'late.answer("b")')),
          "Nobody told the network which garments are alike. Then it loses most of that again."),
    Slide("Soft targets", 3, "Averaged over a class, likeness stays",
          _of("02", ("figure", "plots.degrees_view(mean")),
          "Frames hold relatives. Ask why the mean still shows what single samples have lost."),
    Slide("Soft targets", 3, "Temperature is not free",
          _of("02", ("text", "nearer to *uniform*"), ("figure", "np.geomspace(")),
          "Very soft is label smoothing. Exercise 5 of notebook 2 comes back to it."),
    Slide("Class medoids", 4, "One image stands for a class",
          _of("03", ("figure", "plots.sample_gallery(images"), ("text", "one training image of each class")),
          "Medoid: the candidate nearest to all others. Unlike a mean it can be shown."),
    Slide("Class medoids", 2, "Predict first", _of("03", ("ask", "later = Prediction(")),
          "Most will say that a likeness once learnt stays."),
    Slide("Class medoids", 4, "Dark knowledge comes early, and is overwritten",
          _of("03", ("figure", "display(plots.degrees_view(soft"), ("answer", 'later.answer("c")')),
          "Compare frames left and right, then read the counts."),
    Slide("Class medoids", 4, "The wrong labels do it",
          _of("03", ("figure", "plots.over_epochs(curves"), ("printed", "ends = {}")),
          "First the curve, then the control: the same training with right labels."),
    Slide("Class medoids", 4, "How a medoid is found without all pairs",
          _of("03", ("text", r"$$m_c = z_{i^*}"), ("figure", "plots.search_view(found)")),
          "Skip this one when time is short; lab 1 has it."),
    Slide("Who is carried", 2, "Predict first", _of("04", ("ask", "whom = Prediction(")),
          "A hard sample with a right label, or one with a wrong label?"),
    Slide("Who is carried", 4, "Mostly wrong labels",
          _of("04", ("figure", "display(carried_view("), ("answer", 'whom.answer("c")')),
          "The diamonds are as many samples by lot. Why does it begin so late?"),
    Slide("Who is carried", 3, "Seen through first, then learnt by heart",
          _of("04", ("figure", "heart, seen = {}, {}")),
          "Both curves are one until the carry begins: that is a check, not a result."),
    Slide("Who is carried", 4, "Does the targeting help?",
          _of("04", ("printed", "from toastlab.studies.readings import load"),
              ("text", "the targeted carry is better than as many samples by lot")),
          "Ten seeds and a control. Ask what would be concluded without the random carry."),
    Slide("The loss", 5, "Two stages, one line each",
          _of("05", ("text", "$$q_c = p(m_c; T_m)"), ("text", "$$L_2 = T_p^2")),
          "Go through the symbols: a and b are weights, m the medoid, past the last logits."),
    Slide("The loss", 3, "Predict first",
          _of("05", ("ask", "counts = Prediction("), ("ask", "brake = Prediction(")),
          "The second one is hard. Let neighbours talk for a minute."),
    Slide("The loss", 4, "Stage 2 is a brake",
          _of("05", ("figure", "display(pushes_view("), ("answer", 'counts.answer("c")'),
              ("answer", 'brake.answer("c")')),
          "Prediction minus target, times the weight. At the past itself the push is zero."),
    Slide("The loss", 3, "Plain training until most is known",
          _of("05", ("figure", "where the ramp begins")),
          "The ramp is ours and no part of the source. Skip it when time is short."),
    Slide("The loss", 2, "Six lines in a loop of your own",
          _of("08", ("printed", "assert len(new) == 6"), ("text", "These six lines are TOAST")),
          "Lab 3 uses them with a folder of images."),
    Slide("What to doubt", 4, "The same points, coloured by what they show",
          _of("06", ("figure", "stored = embedding.load_layouts(runs)")),
          "Rings are wrong labels. Let the room say what has moved."),
    Slide("What to doubt", 3, "These groups are not there",
          _of("06", ("figure", "np.random.RandomState(0)"), ("text", "drawn from *one* normal distribution")),
          "One normal distribution. Believe a count, not a picture."),
    Slide("What to doubt", 4, "What to doubt",
          _of("05", ("text", "Everything about weights, temperatures")),
          "Add the calibration: more accurate is not surer. Notebook 9 has the other methods."),
)  # fmt: skip
