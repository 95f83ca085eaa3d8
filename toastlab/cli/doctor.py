"""The command that says whether everything is sound."""

from toastlab.cli.terminal import console, existing_store
from toastlab.store.doctor import examine


def doctor(store: str = "runs", device: str = "auto", repair: bool = False) -> None:
    """Checks machine, embedded data and store. Exit code 0: all sound, 1: something is wrong.

    Args:
        store: Folder of runs.
        device: Device: auto, cuda, cuda:1, mps or cpu.
        repair: Remove what killed processes left, where no living process holds it. An interrupted
            run then starts afresh; finished runs are never removed.
    """
    screen, wrong = console(), 0
    for finding in examine(existing_store(store), device, repair):
        wrong += not finding.sound
        state = "ok   " if finding.sound else "WRONG"
        screen.print(f"{state} {finding.what}: {finding.text}", soft_wrap=True)
    if wrong:
        raise SystemExit(1)
