"""`toastlab dashboard`, of whose minutes each lasts `MINUTE` seconds: nobody waits long until a
visitor who has left is gone. How long a page may take to connect stays."""

from typing import Any

from toastlab.cli.main import main
from toastlab.widgets import voila_app

MINUTE = 12


def shorten(**more: float) -> None:
    """Has the dashboard of this process such minutes; `more` are settings of Jupyter's kernels."""
    settings = voila_app.settings

    def shorter(*page: Any, **named: Any) -> dict[str, dict[str, Any]]:
        made = settings(*page, **named)
        made["VisitorKernels"]["gone_after"] *= MINUTE / 60
        made["MappingKernelManager"].update(more)
        return made

    voila_app.settings = shorter
    voila_app.CULL_EVERY = 1


if __name__ == "__main__":
    shorten()
    main()
