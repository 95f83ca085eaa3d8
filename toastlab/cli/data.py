"""`toastlab data`: the data sets, fetching them, checking them."""

from tyro.conf import Positional

from toastlab.cli.terminal import console, plain_table
from toastlab.data import sources


def data_list() -> None:
    """The data sets: what they are, and whether they are ready on this machine."""
    console().print(plain_table(["name", "what it is", "state"], sources.available()))
    console().print(f"Fetched data sets go to {sources.downloads()} (or TOASTLAB_DATA).")


def data_fetch(name: Positional[str]) -> None:
    """Downloads a data set through torchvision and checks it.

    Args:
        name: Data set: fashion-mnist, cifar10 or cifar100.
    """
    folder = sources.fetch(name)
    for fact in sources.check(name):
        console().print(fact)
    console().print(f"{name} is ready in {folder}.")


def data_check(name: Positional[str], path: str = "") -> None:
    """Reads a data set whole: checksums, every file, labels.

    Args:
        name: Name of a data set, as `toastlab data list` shows it.
        path: Its folder, for idx, folder and tiny-imagenet.
    """
    for fact in sources.check(name, path):
        console().print(fact)
    console().print(f"{name} is sound.")
