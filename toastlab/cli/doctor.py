"""`toastlab doctor`: says whether everything is sound."""

from toastlab.cli.options import Device, Store
from toastlab.cli.terminal import console, existing_store
from toastlab.store.doctor import examine


def doctor(store: Store = "runs", device: Device = "auto", repair: bool = False) -> None:
    """Checks machine, embedded data and store; exit code 1: something is wrong.

    Args:
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
