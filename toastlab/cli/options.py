"""Options that several commands have, and how a command line becomes the options of a command."""

import contextlib
import functools
import io
import re
from collections.abc import Callable
from typing import Annotated, Any

import tyro
from tyro.conf import arg

from toastlab.core.errors import BadValue, one_of

Store = Annotated[str, arg(help="Folder of runs; a run that is there is not trained again.")]
Device = Annotated[str, arg(help="Device: auto, cuda, cuda:1, mps or cpu.")]
Workers = Annotated[int, arg(help="Runs side by side, up to 1024; 0 chooses by cores.")]
Together = Annotated[
    bool,
    arg(help="Train runs of equal shape as one, for a GPU; results are equal within rounding."),
]
Seeds = Annotated[int, arg(help="How many seeds, 1 to 1000.")]
Epochs = Annotated[int, arg(help="Epochs of each run, 1 to 100000.")]


def parse(
    call: Callable[..., None], prog: str, args: list[str], **defaults: object
) -> Callable[[], None]:
    """A command with its options, ready to run.

    Args:
        call: the command; prog: its words; args: what follows them.
        defaults: of its parameters, in place of its own; where settings are annotated by their base
            class, the default says of which class they are.

    Raises:
        ValueError: an option is wrong or unknown; in one line.
    """

    @functools.wraps(call)
    def ready(**options: Any) -> Callable[[], None]:
        return functools.partial(call, **options)

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(functools.partial(ready, **defaults), args=args, prog=prog)
    except SystemExit as stop:
        if not stop.code:
            raise  # --help
        raise BadValue(f"{_one_line(said.getvalue())} See {prog} --help.") from None


def _one_line(text: str) -> str:
    """tyro's complaint without its box, its title, and the advice to read the help.

    Raises:
        ValueError: a value is not among the choices; the message names the nearest one.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m|[─│╭╮╰╯╶╴]+|-{4,}", " ", text)
    plain = " ".join(plain.split())
    if wrong := re.search(
        r"invalid choice '(.*)' for argument '(.*)'\. Expected .*?\((.*)\)", plain
    ):
        name = wrong[2].rpartition(".")[2].lstrip("-").removesuffix("s").replace("-", " ")
        one_of(name, wrong[1], re.findall(r"'(.*?)'", wrong[3]))
    plain = re.sub(
        r"^(Parsing error|Value error|Missing argument(?= Missing))\s*|Error parsing \S+:\s*"
        r"|^(Unrecognized|Required) options",
        "",
        plain,
    )
    return re.split(r"\s*(?:Argument|For full|Full) helptext", plain)[0].strip().rstrip(".") + "."
