"""The command line: finds the command, which is loaded only then; a wrong line gets one line."""

import re
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from importlib.metadata import version
from os import environ
from pathlib import Path
from signal import SIGTERM
from typing import Any

from toastlab.cli.overview import COMMANDS, FILES, METHODS, RENAMED, TAKE_METHOD, methods, overview
from toastlab.cli.signals import Signals
from toastlab.core.errors import (
    BadValue,
    PackageMissing,
    RankLost,
    TrainingDiverged,
    WorkerError,
    one_of,
)
from toastlab.core.garbage import nothing_collected

HELP = ("-h", "--help", "help")
PACKAGE = Path(__file__).parents[1]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command. Exit codes: 0 done, 1 the training failed, 2 wrong input, 130 interrupted,
    143 ended by TERM."""
    with Signals() as signals:
        run(argv, signals)


def run(argv: Sequence[str] | None, signals: Signals) -> None:
    """The same under the signals that are in force."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        with _ranks() as group:
            if group is not None and group.count > 1 and args[:1] != ["train"]:
                raise BadValue("torchrun can start `toastlab train`, and no other command.")
            with nothing_collected():
                command = _prepare(args)
            signals.ready()
            command()
    except KeyboardInterrupt:
        how = "ended by TERM" if signals.got == SIGTERM else "interrupted"
        kept = "what was finished is kept, the same command goes on from there."
        _fail(f"{how}; {kept}", signals.code)
    except (TrainingDiverged, WorkerError, RankLost) as error:
        _fail(str(error), 1)
    except BrokenPipeError:  # who reads has seen enough, as `head` has
        sys.stdout = None
        raise SystemExit(141) from None
    except PackageMissing as error:
        _fail(str(error), 2)
    except (ValueError, OSError) as error:
        if not _is_input(error):
            raise
        _fail(str(error), 2)


def _ranks() -> AbstractContextManager[Any]:
    """The ranks that torchrun started together; None without torchrun."""
    if "WORLD_SIZE" not in environ:
        return nullcontext()
    from toastlab.training import ranks

    return ranks.job()


def _prepare(args: list[str]) -> Callable[[], None]:
    """The command that `args` name, ready to run."""
    if not args or args[0] in HELP:
        return partial(print, overview())
    if args[0] == "--version":
        return partial(print, f"toastlab {version('toastlab')}")
    words, rest = _split(args)
    asked = not rest or rest[0] in HELP
    if words == "study" or (words == "study run" and asked):
        words, rest = "study list", []
    if words not in COMMANDS:
        return partial(print, overview(words))
    if words in TAKE_METHOD and asked:
        return partial(print, methods(words))
    from_file = words == "sweep" and rest[0].endswith(".toml")
    if words in TAKE_METHOD and not from_file:
        one_of("method", rest[0], METHODS)  # before what takes time is loaded
    first = words.split()[0]
    prog = f"toastlab {words}"
    try:
        module = import_module(f"toastlab.cli.{FILES.get(first, first)}")
        from toastlab.cli.options import parse
    except ModuleNotFoundError as error:
        raise PackageMissing(f"`{prog}`", error, "lab") from error
    call = getattr(module, words.replace(" ", "_"))

    if words in TAKE_METHOD:
        from toastlab.methods import CONFIGS

        name, *rest = module.options_of(rest[0]) + rest[1:] if from_file else rest
        method = CONFIGS[one_of("method", name, CONFIGS)]()
        return parse(call, f"{prog} {name}", rest, method=method)
    if words == "study run":
        return parse(call(rest[0]), f"{prog} {rest[0]}", rest[1:])
    return parse(call, prog, rest)


def _split(args: list[str]) -> tuple[str, list[str]]:
    """The words of a command, or the first word of several commands, and what follows them."""
    for old in (" ".join(args[:2]), args[0]):
        if old in RENAMED:
            raise BadValue(f"`toastlab {old}` is now `toastlab {RENAMED[old]}`.")
    first = one_of("command", args[0], {words.split()[0] for words in COMMANDS})
    if first in COMMANDS or len(args) == 1 or args[1] in HELP:
        return first, args[1:]
    seconds = {words.split()[1] for words in COMMANDS if words.startswith(f"{first} ")}
    return f"{first} {one_of(f'command after {first!r}', args[1], seconds)}", args[2:]


def _is_input(error: Exception) -> bool:
    """Whether it is about what the user gave: files and devices, or a value our own code refused.

    A ValueError that another library raises in the midst of our work is a bug of ours.
    """
    if isinstance(error, OSError) or type(error).__module__.startswith("toastlab."):
        return True
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    files += re.findall(r'^ *File "(.+?)", line', str(error.__cause__), re.M)  # of a worker process
    return Path(files[-1]).is_relative_to(PACKAGE)


def _fail(message: str, code: int) -> None:
    print(f"toastlab: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code)
