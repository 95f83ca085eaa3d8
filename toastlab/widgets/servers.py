"""Who may reach a server: this machine only, and only with a token, unless `--expose` is given."""

import os
import secrets
from collections.abc import Callable

from toastlab.core.errors import BadValue, in_range

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"
PORTS = (1, 65_535)


def token() -> tuple[str, bool]:
    """The token, and whether it was made now; else it is the environment's JUPYTER_TOKEN."""
    given = os.environ.get("JUPYTER_TOKEN", "")
    return (given, False) if given else (secrets.token_hex(24), True)


def warning(what: str) -> str:
    """What `--expose` means. `what`: what anybody with the token can do."""
    return (
        "WARNING: --expose. Every machine that reaches this one is answered, over plain HTTP: who "
        f"listens on the network can read the token, and who has the token {what}. Without "
        "--expose only this machine is answered; from elsewhere, an SSH tunnel leads there."
    )


def spare_threads() -> None:
    """Kernels that a server starts from now on compute in one thread, unless the environment says
    otherwise: networks this small only wait for more threads, above all on a busy machine."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def lab_arguments(folder: str, port: int, open_browser: bool, expose: bool) -> list[str]:
    """Of JupyterLab, without the token. Given here, they win over the user's own Jupyter settings,
    which may have been made for other uses."""
    return [
        f"--ServerApp.ip={EVERYWHERE if expose else LOOPBACK}",
        f"--ServerApp.port={port}",
        f"--ServerApp.root_dir={folder}",
        f"--ServerApp.open_browser={open_browser}",
        f"--ServerApp.allow_remote_access={expose}",
        "--ServerApp.allow_origin=",
        "--ServerApp.allow_origin_pat=",
        "--ServerApp.disable_check_xsrf=False",
        # a container's only user is often root, as whom Jupyter Server would not start
        f"--ServerApp.allow_root={getattr(os, 'geteuid', lambda: 1)() == 0}",
    ]


def serve_lab(
    folder: str, port: int, open_browser: bool, expose: bool, say: Callable[[str], None]
) -> None:
    """JupyterLab until it is interrupted; it says its address.

    Args:
        folder: what it shows.
        port: the next free one is taken if this one is not.
        open_browser: shows it in the browser.
        expose: answers other machines, too.
        say: is called with the warning.

    Raises:
        ValueError: there is no such port, or the token did not come into force.
    """
    in_range("port", port, *PORTS)
    from jupyterlab.labapp import LabApp

    if expose:
        say(warning("runs any code as you, reads and deletes your files"))
    spare_threads()
    word, made = token()
    server = LabApp.initialize_server(
        # not on the program's own command line, which every user of the machine can read
        [*lab_arguments(folder, port, open_browser, expose), f"--IdentityProvider.token={word}"]
    )
    provider = server.identity_provider
    if not provider.auth_enabled or provider.token != word:
        raise BadValue(
            "your Jupyter settings switch the token off; toastlab lab does not start without: "
            "take IdentityProvider and ServerApp.token out of them (jupyter --paths shows where)."
        )
    provider.token_generated = made  # a token of ours is shown, one from the environment is not
    server.start()
