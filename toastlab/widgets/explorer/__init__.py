"""The explorer: points, images and curves of one training that show the same choice.

`widget.py` is what notebooks show, `page.py` the same without a kernel. Both send what `data.py`
packs to the code in `web/`, which is ours and asks nobody for more.
"""

from toastlab.widgets.explorer.widget import Explorer

__all__ = ["Explorer"]
