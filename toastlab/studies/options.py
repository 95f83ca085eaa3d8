"""What can be chosen in a study: the base of its options."""

from dataclasses import dataclass
from typing import Annotated, get_args, get_type_hints

from toastlab.core.errors import BadValue
from toastlab.core.settings import Range, Settings

SEED_COUNTS = (1, 1000)  # each seed is a run of its own
WORKER_COUNTS = (0, 1024)  # runs side by side; 0 chooses by cores
Seeds = Annotated[int, Range(*SEED_COUNTS)]


@dataclass(frozen=True)
class Options(Settings):
    """What can be chosen in a study; each study has its own. Lists may not be empty."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kind in get_type_hints(type(self)).items():
            if getattr(self, name) == ():
                choices = ", ".join(get_args(get_args(kind)[0]))  # none of a plain str
                more = f" of: {choices}" if choices else ", as the help says"
                raise BadValue(f"no {name.removesuffix('s')} is given; name one or more{more}.")
