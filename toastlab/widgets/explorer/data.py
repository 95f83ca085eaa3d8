"""What the explorer's page is sent: a description (`meta`, JSON) and arrays as bytes.

Small numbers, since a page of 60,000 samples is sent whole: probabilities in 255 steps, places in
65,535, images as thumbnails in sheets of PNG.

Letters: N samples, E epochs, K classes, P layouts.
"""

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from toastlab.analysis.analyse import Analysis
from toastlab.analysis.scores import SCORES
from toastlab.core.errors import BadValue, in_range
from toastlab.data.ids import pack as pack_ids
from toastlab.plots.style import PALETTE
from toastlab.widgets.explorer.places import Places

NONE, NO_CURVE = 65535, 255  # labels and places, probabilities that are not known
STEPS = 254  # of a probability
MOST_CLASSES = NONE
MANY = 10_000  # samples, of which medoids are found after the last epoch only
THUMBNAIL = 32  # pixels: the longer side of an image in the page, at most
PER_SHEET, COLUMNS = 1024, 32
REGIONS = ("all", "easy", "ambiguous", "hard")
TITLES = {  # of scores, where the column's name is not one
    "aum": "AUM",
    "el2n_early": "EL2N, early",
    "el2n": "EL2N",
    "p1p": "p (1 - p)",
}
WORDS = {
    "all": "all",
    "easy": "easy (sure, steady)",
    "ambiguous": "ambiguous (unsteady)",
    "hard": "hard (unsure, steady)",
    "wrong": "wrong at this epoch",
    "flipped": "label flipped",
    "clean label": "true label",
    "up": "lowest score first",
    "down": "highest score first",
} | {name: TITLES.get(name, name) for name in SCORES}


@dataclass
class Packed:
    """What a page is sent.

    Attributes:
        meta: counts, names, choices and the view to begin with; JSON.
        arrays: name -> bytes. Those in `meta["arrays"]` are numbers of the JavaScript type named
            there, lowest byte first; "sheet0" and so on are PNG.
    """

    meta: dict[str, Any]
    arrays: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, array: np.ndarray) -> None:
        """Puts in an array, by the name that the page's code has for it."""
        kinds = {"u1": "Uint8Array", "u2": "Uint16Array", "i4": "Int32Array", "f4": "Float32Array"}
        self.meta["arrays"][name] = kinds[array.dtype.str[1:]]
        self.arrays[name] = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def pack(analysis: Analysis, places: Places | None, thumbnails: int) -> Packed:
    """All that the page shows of an analysis.

    Args:
        places: layouts for the second plane; None leaves it out.
        thumbnails: images at most; where there are more samples, those of the lowest confidence
            have theirs. 0: none.

    Raises:
        ValueError: more than 65,535 classes, or no score at all.
    """
    table, classes = analysis.table, analysis.class_names
    in_range("number of classes", len(classes), 1, MOST_CLASSES - 1)
    in_range("thumbnails", thumbnails, 0)
    packed = Packed({"samples": len(table), "classes": list(classes), "arrays": {}})
    meta, epochs = packed.meta, max(1, analysis.num_epochs)
    meta["epochs"], meta["palette"] = epochs, palette(len(classes))
    clean = table["clean_label"]
    known = bool(clean.notna().any())
    packed.add("label", table["label"].to_numpy(np.uint16))
    if known:
        packed.add("clean", clean.astype("float64").fillna(NONE).to_numpy(np.uint16))
    predictions = [analysis.predictions_at(epoch) for epoch in range(analysis.num_epochs)]
    predicted = [np.where(p < 0, NONE, p).astype(np.uint16) for p in predictions if p is not None]
    if predicted:
        packed.add("prediction", np.stack(predicted))
    if analysis.curves is not None and analysis.num_epochs:
        packed.add("curve", steps(analysis.curves))
    _add_scores(packed, table)
    packed.add("region", region(table))
    packed.add("ids", pack_ids(np.array([str(one) for one in table["id"]], dtype=object)))
    _add_medoids(packed, analysis)
    if places is not None:
        meta["placesTitle"] = places.title
        meta["placeEpochs"] = [epoch - 1 for epoch in places.xy]
        packed.add("places", quantised(list(places.xy.values())))
    meta["images"] = {"width": 1, "height": 1, "columns": COLUMNS, "each": PER_SHEET}
    if analysis.has_images and thumbnails:
        _add_images(packed, analysis, thumbnails)
    _add_choices(meta, known, bool(predicted))
    return packed


def _add_choices(meta: dict[str, Any], known: bool, predicted: bool) -> None:
    """What the lists of the page offer, and the view to begin with."""
    first = meta["choices"]["score"][0]
    meta["choices"] |= {
        "colour": ["label", *["prediction"] * predicted, *["clean label"] * known],
        "region": [*REGIONS, *["wrong"] * predicted, *["flipped"] * known],
        "order": ["up", "down"],
    }
    meta["words"] = WORDS
    meta["view"] = {
        "epoch": meta["epochs"] - 1,
        "colour": "label",
        "region": "all",
        "score": first,
        "order": "up" if SCORES[first].sign < 0 else "down",
        "low": None,
        "high": None,
        "hidden": [],
        "focus": -1,
    }


def _add_scores(packed: Packed, table: pd.DataFrame) -> None:
    columns = {name: table[name].astype("float64").to_numpy(np.float32) for name in SCORES}
    some = {name: x for name, x in columns.items() if np.isfinite(x).any()}
    if not some:
        raise BadValue("no score of any sample is known; there is nothing to explore.")
    packed.meta["choices"] = {"score": list(some)}
    packed.add("scores", np.stack(list(some.values())))


def _add_medoids(packed: Packed, analysis: Analysis) -> None:
    """[E, K] rows, -1 for none; of many samples those of the last epoch only, as each epoch takes
    a second for 10,000 or so."""
    last = analysis.num_epochs - 1
    if last < 0 or analysis.logits_at(last) is None:
        return
    found = np.full((last + 1, len(analysis.class_names)), -1, np.int32)
    for epoch in range(last + 1) if len(analysis.table) <= MANY else [last]:
        medoids = analysis.medoids_at(epoch)
        found[epoch] = -1 if medoids is None else medoids
    packed.add("medoids", found)


def _add_images(packed: Packed, analysis: Analysis, thumbnails: int) -> None:
    """The images as sheets, and for each sample its place in them, -1 for none."""
    confidence = analysis.table["confidence"].to_numpy(np.float64)
    rows = np.sort(np.argsort(np.nan_to_num(confidence, nan=-1.0), kind="stable")[:thumbnails])
    tile = np.full(len(confidence), -1, np.int32)
    tile[rows] = np.arange(len(rows))
    packed.add("tile", tile)
    for first in range(0, len(rows), PER_SHEET):
        images = [thumbnail(x) for x in analysis.images_at(rows[first : first + PER_SHEET])]
        width, height = images[0].size
        sheet = Image.new(images[0].mode, (COLUMNS * width, -(-len(images) // COLUMNS) * height))
        for i, image in enumerate(images):
            sheet.paste(image, (i % COLUMNS * width, i // COLUMNS * height))
        file = io.BytesIO()
        sheet.save(file, "PNG")
        packed.arrays[f"sheet{first // PER_SHEET}"] = file.getvalue()
        packed.meta["images"] |= {"width": width, "height": height}


def thumbnail(image: np.ndarray) -> Image.Image:
    """A picture of an image [C, H, W] uint8, C 1 or 3, of at most 32 pixels a side."""
    pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    return picture


def steps(probability: np.ndarray) -> np.ndarray:
    """Probabilities in whole steps 0..254, uint8 of the same shape; 255 for NaN."""
    known = np.clip(np.nan_to_num(probability.astype(np.float64)), 0, 1)
    return np.where(np.isnan(probability), NO_CURVE, np.rint(STEPS * known)).astype(np.uint8)


def quantised(layouts: Sequence[np.ndarray]) -> np.ndarray:
    """Layouts [N, 2] in one square, as uint16 [P, N, 2]: 0..65,534, and 65,535 for NaN."""
    xy = np.stack(layouts).astype(np.float64)
    if np.isnan(xy).all():
        return np.full(xy.shape, NONE, np.uint16)
    ends = [(np.nanmin(xy[..., axis]), np.nanmax(xy[..., axis])) for axis in (0, 1)]
    side = max(*(high - low for low, high in ends), 1e-12)
    for axis, (low, high) in enumerate(ends):
        xy[..., axis] = 0.5 + (xy[..., axis] - (low + high) / 2) / side
    whole = np.rint((NONE - 1) * np.clip(np.nan_to_num(xy), 0, 1))
    return np.where(np.isnan(xy), NONE, whole).astype(np.uint16)


def region(table: pd.DataFrame) -> np.ndarray:
    """The part of the data map [N] that each sample lies in, as its position in `REGIONS`.

    Ambiguous: of more than the median variability; else easy from a confidence of 0.5 on, and hard
    below. 0 where it is not known.
    """
    confidence, variability = (table[c].to_numpy(np.float64) for c in ("confidence", "variability"))
    known = ~np.isnan(confidence)
    if not known.any():
        return np.zeros(len(known), np.uint8)
    unsteady = variability > np.nanmedian(variability)
    found = np.where(unsteady, 2, np.where(confidence >= 0.5, 1, 3))
    return np.where(known, found, 0).astype(np.uint8)


def palette(count: int) -> list[list[int]]:
    """Red, green and blue of each class: the figures' palette, then around the colour wheel."""
    some = [[round(255 * x) for x in colour] for colour in PALETTE[:count]]
    for i in range(len(some), count):
        some.append([round(255 * x) for x in colorsys.hls_to_rgb(i * 0.382 % 1, 0.5, 0.6)])
    return some
