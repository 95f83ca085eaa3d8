"""`toastlab runs`: what a store holds."""

from tyro.conf import Positional

from toastlab.cli.options import Store
from toastlab.cli.terminal import console, existing_store, plain_table, show_run
from toastlab.store.runs import RunStore

COLUMNS = ("run", "method", "data", "noise", "model", "epochs", "seed", "top-1 %", "NLL")


def runs_list(store: Store = "runs") -> None:
    """The finished runs of a store."""
    rows = []
    for run in RunStore(existing_store(store)).list():
        c, top1, nll = run.config, run.last["test_top1"], run.last["test_nll"]
        names = [run.key, c.method.name, c.data.name, f"{c.data.noise_rate:g}", c.model]
        rows.append([*names, str(c.epochs), str(c.seed), f"{100 * top1:.1f}", f"{nll:.3f}"])
    console().print(plain_table(COLUMNS, rows) if rows else f"No finished runs in {store!r}.")


def runs_show(key: Positional[str], store: Store = "runs") -> None:
    """One run: settings, last epoch, where it was made.

    Args:
        key: Name of the run, or how its name begins.
    """
    show_run(RunStore(existing_store(store)).open(key))
