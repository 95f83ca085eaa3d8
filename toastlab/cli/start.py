"""Where the command `toastlab` begins: a signal is understood before anything else is loaded."""

from toastlab.cli.signals import Signals


def main() -> None:
    """Runs the command line, see `toastlab.cli.main`."""
    with Signals() as signals:
        from toastlab.cli.main import run

        run(None, signals)
