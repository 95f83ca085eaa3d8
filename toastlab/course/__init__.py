"""What the notebooks share: predictions, exercises and open questions, and the two stored runs."""

from toastlab.course.judge import check, hint, marks, solution
from toastlab.course.predict import Prediction
from toastlab.course.questions import discuss

__all__ = ["Prediction", "check", "discuss", "hint", "marks", "solution"]
