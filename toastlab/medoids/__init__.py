"""Stage 1: class medoids and the soft targets made of them. Loads torch and numpy only.

`exact` says what a class medoid is and finds it; `targets` makes soft targets of it. Behind them,
`bounds` rules out most rows without summing their distances, and `blocks` keeps within memory.
"""

from toastlab.medoids.exact import Medoids, candidates, class_medoids
from toastlab.medoids.targets import class_means, class_targets, describe_medoids, soft_targets

__all__ = [
    "Medoids",
    "candidates",
    "class_means",
    "class_medoids",
    "class_targets",
    "describe_medoids",
    "soft_targets",
]
