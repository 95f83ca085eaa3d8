"""The explorer in a notebook: an anywidget, whose selection is Python's."""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
from traitlets import Bytes, Dict, TraitError, validate

from toastlab.analysis.analyse import Analysis, analyse
from toastlab.core.errors import BadValue
from toastlab.plots import data_map, drawn_png
from toastlab.widgets.explorer.data import pack
from toastlab.widgets.explorer.page import script, style, write_page
from toastlab.widgets.explorer.places import Places, given, made
from toastlab.widgets.explorer.view import check_view, from_state, is_mask, mask_of, to_state


class Explorer(anywidget.AnyWidget):  # type: ignore[misc]
    """Data map, a second plane, images and curves of one training, which show the same choice.

    In a notebook it is the last line of a cell; `save` makes a page of it that needs no kernel.
    Lasso or click in a plane selects; what is selected there is `selected` here.

    Example:
        >>> logits = np.array([[[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]])
        >>> explorer = Explorer(analyse(logits, [0, 1, 1], ids=["a", "b", "c"]))
        >>> explorer.selected = ["c"]
        >>> explorer.selected, explorer.selected_rows.tolist()
        (['c'], [2])

    Args:
        source: an `Analysis`, or a stored `Run` that recorded its dynamics.
        layout: of the second plane: "pca" (principal components of the logits, at once), "tsne"
            (1,500 samples, a minute), or none.
        places: or layouts of one's own: epoch, counted from 1 on -> [N, 2], NaN for a sample that
            is left out; or `Places` (`places.stored` has the notebooks').
        thumbnails: images at most, 0 for none. Of more samples, those of the lowest confidence
            have theirs.
        title: of the page that `save` writes.

    Attributes:
        analysis: what is shown.
        meta, arrays: what the page was sent, see `data`.
        view: what is shown of it, see `view.check_view`; set from both sides.
        selection: a byte for each sample, 1 if it is selected; set from both sides.
    """

    _esm = script()
    _css = style()
    meta = Dict().tag(sync=True)
    arrays = Dict().tag(sync=True)
    view = Dict().tag(sync=True)
    # a browser's bytes come as a memoryview
    selection = Bytes().tag(sync=True, from_json=lambda value, widget: bytes(value))

    def __init__(
        self,
        source: Any,
        *,
        layout: str | None = "pca",
        places: Places | Mapping[int, np.ndarray] | None = None,
        thumbnails: int = 10_000,
        title: str = "toastlab explorer",
    ) -> None:
        self.analysis = source if isinstance(source, Analysis) else analyse(source)
        self.title = title
        samples, epochs = len(self.analysis.table), self.analysis.num_epochs
        if isinstance(places, Places):
            places = given(places.xy, samples, epochs, places.title)
        elif places is not None:
            places = given(places, samples, epochs, "Layout")
        elif layout is not None:
            places = made(self.analysis, layout)
        self.packed = pack(self.analysis, places, thumbnails)
        meta = self.packed.meta
        super().__init__(
            meta=meta, arrays=self.packed.arrays, view=meta["view"], selection=bytes(samples)
        )

    @validate("view")
    def _check_view(self, proposal: dict[str, Any]) -> dict[str, Any]:
        try:
            return {**self.meta["view"], **check_view(self.meta, proposal["value"])}
        except (ValueError, TypeError) as error:
            raise TraitError(str(error)) from None

    @validate("selection")
    def _check_selection(self, proposal: dict[str, Any]) -> bytes:
        if not is_mask(proposal["value"], self.meta["samples"]):
            raise TraitError(f"a selection has {self.meta['samples']} bytes, 0 or 1; set selected.")
        return bytes(proposal["value"])

    @property
    def selected_rows(self) -> np.ndarray:
        """[n] int64, rows of `analysis.table` that are selected, ascending."""
        return np.flatnonzero(np.frombuffer(self.selection, np.uint8))

    @property
    def selected(self) -> list[Any]:
        """The user's ids of the selected samples, in the order of the table. To be set as well.

        Raises:
            ValueError: an id that is not there.
        """
        return list(self.analysis.table["id"].iloc[self.selected_rows].tolist())

    @selected.setter
    def selected(self, ids: Iterable[Any]) -> None:
        wanted = list(ids)
        known = pd.Index(self.analysis.table["id"])
        if missing := [one for one in wanted if one not in known]:
            raise BadValue(f"there is no sample {missing[0]!r}; ids are as in analysis.table.")
        rows = np.flatnonzero(known.isin(wanted))
        self.selection = mask_of(rows, len(known))

    @property
    def selected_table(self) -> pd.DataFrame:
        """Rows of `analysis.table` that are selected."""
        return self.analysis.table.iloc[self.selected_rows]

    def to_csv(self, path: Path | str | None = None) -> str | None:
        """The selected rows as CSV, of all if none is selected: to a file, or as a text.

        Args:
            path: None gives the text back.
        """
        table = self.selected_table if len(self.selected_rows) else self.analysis.table
        text = table.to_csv(index=False)
        if path is None:
            return str(text)
        Path(path).write_text(text, encoding="utf-8", errors="surrogateescape")
        return None

    def state(self) -> str:
        """View and selection as JSON, to store or to send; "State" on the page gives the same."""
        return to_state(self.view, self.selection)

    def restore(self, state: str) -> None:
        """Shows and selects what `state` says.

        Raises:
            ValueError, TypeError: it is of other data, or no state at all.
        """
        view, mask = from_state(self.meta, state)
        self.view, self.selection = view, mask

    def accepts(self, name: str, value: object) -> bool:
        """Whether a browser that may do no more can set this, see `visitors`."""
        if name == "selection":
            return is_mask(value, self.meta["samples"])
        try:
            return name == "view" and bool(check_view(self.meta, value))
        except (ValueError, TypeError):
            return False

    def save(self, path: Path | str) -> Path:
        """Writes the explorer, as it stands, as one page that needs no kernel and no network.

        Of 6,000 images of 28 x 28 pixels and 30 epochs it has about 5 MB, of 60,000 samples (10,000
        of them with images) about 15.

        Args:
            path: ends in .html.

        Raises:
            ValueError: it ends otherwise. OSError: it cannot be written.
        """
        return write_page(path, self.packed, self.title, self.state())

    def __repr__(self) -> str:
        return f"Explorer of {self.meta['samples']} samples, {len(self.selected_rows)} selected"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        if bundle is None:
            return None
        data, metadata = bundle
        # what is shown where no kernel runs: on a code host, printed, or before the first run
        frame = self.analysis.table.assign(flipped=self.analysis.table["flipped"].fillna(False))
        frame["flipped"] = frame["flipped"].astype(bool)
        figure = data_map(frame)
        data["image/png"] = base64.b64encode(drawn_png(figure)).decode()
        data["text/plain"] = figure.alt
        return data, {**metadata, "image/png": {"alt": figure.alt}}
