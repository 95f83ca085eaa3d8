"""Open questions: the reader writes an answer first, then sees a model one and what it should say.

Nothing judges the text: whoever compares his own with the model learns most from the differences.
"""

from dataclasses import dataclass

from toastlab.core.errors import BadType, one_of
from toastlab.course.card import Card
from toastlab.course.exercises import Difficulty, effort

FEWEST = 8  # words of an answer


@dataclass(frozen=True)
class Question:
    """What answers an open question.

    Attributes:
        minutes: that it takes about; difficulty: 1 to 3.
        model: an answer of some sentences.
        says: what a good answer says, each worth a point where a course is marked.
    """

    minutes: int
    difficulty: Difficulty
    model: str
    says: tuple[str, ...]

    @property
    def points(self) -> int:
        """What a good answer is worth."""
        return len(self.says)


def discuss(name: str, answer: str) -> Card:
    """The model answer, once the reader has written one.

    Args:
        name: of a question of `QUESTIONS`.
        answer: the reader's, a text. One of fewer than `FEWEST` words is not answered yet.

    Raises:
        ValueError: there is no such question. TypeError: the answer is no text.
    """
    question = QUESTIONS[one_of("question", name, QUESTIONS)]
    if not isinstance(answer, str):
        raise BadType(f"the answer must be a text in quotes, not {type(answer).__name__}.")
    if len(answer.split()) < FEWEST:
        return Card(
            "Not answered yet: write two or three sentences between the quotes "
            f"({effort(question.minutes, question.difficulty)}), then compare with a model answer."
        )
    points = [f"  - {point}" for point in question.says]
    return Card("\n".join([f"A model answer: {question.model}", "Does yours say this?", *points]))


QUESTIONS = {
    "mean_keeps": Question(
        minutes=5,
        difficulty=2,
        model="A mean adds up what many samples say. What each of them has learnt by heart is its "
        "own and differs from sample to sample, so that it cancels out. What they have in common "
        "stays: the classes that look alike. The medoid is one sample, and speaks with the "
        "accidents of that one.",
        says=(
            "the mean is made of many samples, the medoid of one",
            "what is learnt by heart differs from sample to sample and cancels out",
            "what the samples have in common adds up",
        ),
    ),
    "noisy_validation": Question(
        minutes=6,
        difficulty=2,
        model="Mostly yes. Wrong labels drawn evenly lower the measured accuracy of every epoch by "
        "the same rule, and a better epoch stays better on average: exercise 2. But differences "
        "shrink, so chance decides more often, and more images are needed. It fails where wrong "
        "labels follow a pattern that the network learns too. Then the network that has learnt "
        "the pattern looks best.",
        says=(
            "evenly drawn mistakes keep the order of the epochs on average",
            "differences shrink, so that more images or a smoothed curve are needed",
            "mistakes with a pattern reward a network that has learnt them",
        ),
    ),
    "too_soft": Question(
        minutes=4,
        difficulty=1,
        model="At a very high temperature all classes get nearly the same, and what the network "
        "knows about their likeness is gone: that is label smoothing. And a network trained on "
        "such targets becomes less sure of itself, since it is taught never to be sure.",
        says=(
            "the soft target comes near to uniform, which says nothing about likeness",
            "a network trained on it becomes less sure of itself",
        ),
    ),
    "adds_nothing": Question(
        minutes=6,
        difficulty=2,
        model="They show one data set, one small network and one kind of wrong labels. At "
        "temperature 1 a soft target is nearly the label itself here, so that stage 1 was hardly "
        "tried; and it did change calibration. Before I said more I would train at temperatures "
        "between 1 and 2, on other data and with larger networks. And I "
        "would say how large a gain the interval still allows.",
        says=(
            "one data set and network: a result of this setting, not of soft targets as such",
            "at temperature 1 the target is nearly hard; softer ones, or calibration, may differ",
            "an interval around 0 allows gains up to its end: it does not show that there is none",
        ),
    ),
    "who_gets_it": Question(
        minutes=6,
        difficulty=3,
        model="Change only that. Take the same soft targets, and share what they give to the other "
        "classes evenly, or shuffle it among them: the label keeps its part. Train all three with "
        "the same seeds and compare them in pairs, on accuracy and NLL. If the even ones do as "
        "well, it does not matter who gets the rest.",
        says=(
            "a control gives the other classes as much in all, but evenly or shuffled",
            "the own class keeps its share, so that the softness is the same",
            "several seeds, compared in pairs",
        ),
    ),
    "rare_or_wrong": Question(
        minutes=5,
        difficulty=2,
        model="First at the image: does the label fit? Then at what the network says instead. If "
        "it has said one and the same other class from early on, and surely, the label is "
        "probably wrong. If it is unsure or changes its mind, the sample is probably rare or hard. "
        "Look at its neighbours, and train again with another seed: a rare one may be learnt then.",
        says=(
            "look at the image and at the class that the network says instead",
            "one other class, surely and early, speaks for a wrong label",
            "unsure or changing answers speak for a rare or hard sample",
        ),
    ),
    "brake": Question(
        minutes=5,
        difficulty=2,
        model="A wrong label pulls the network away from what it had seen through. The carried "
        "sample is misclassified, so its past prediction is mostly the true class, and holding to "
        "that slows learning by heart. It does harm where the label is right and the network "
        "wrong: a hard sample is held to its mistake. Early in training most mistakes are such.",
        says=(
            "the past prediction of a wrongly labelled sample is mostly the true class",
            "it is held against the pull of its label, so less is learnt by heart",
            "a hard sample with a right label is held to its mistake",
        ),
    ),
    "stop_early": Question(
        minutes=4,
        difficulty=2,
        model="Where somebody can tell the best epoch, stopping there is cheaper and here more "
        "accurate than either network is at the end. To tell it takes images whose labels are "
        "right and that were not trained on. On other data the best epoch is another one, and what "
        "is learnt late, such as rare classes, is then never learnt.",
        says=(
            "stopping early does as well or better here, and is cheaper",
            "to know when takes labels that are known to be right",
            "what is learnt late is lost, or the best epoch is another on other data",
        ),
    ),
    "meant_it": Question(
        minutes=6,
        difficulty=3,
        model="No. Many readings were tried, and those that stand here were chosen since they do "
        "what the abstract says: that they do it is no surprise. Another reading may do it for "
        "other reasons, and the paper's data and networks are others. What would help is the "
        "paper's equations, its code, or a figure in it on which the readings disagree.",
        says=(
            "the readings were chosen by the claims, so that these cannot confirm them",
            "other readings may satisfy as many, and data and networks here are not the paper's",
            "equations, code, or a figure on which readings disagree would tell",
        ),
    ),
}
