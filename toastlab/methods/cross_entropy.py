"""Plain cross-entropy to hard targets: the baseline. CE(e_y, p(z))."""

from dataclasses import dataclass
from typing import ClassVar

from toastlab.methods.base import Method, MethodConfig


@dataclass(frozen=True)
class CrossEntropyConfig(MethodConfig):
    """Plain cross-entropy; nothing to set.

    Example:
        >>> CrossEntropyConfig().name
        'cross-entropy'
    """

    name: ClassVar[str] = "cross-entropy"


class CrossEntropy(Method, config=CrossEntropyConfig):
    """Hard targets are what `Method` starts with."""
