"""The name of a run: what it is a result of, as plain data and as sixteen hex digits."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from toastlab.core.errors import BadType, one_of
from toastlab.data.augment import AugmentConfig
from toastlab.data.dataset import DataConfig
from toastlab.methods import CONFIGS
from toastlab.training.config import TrainConfig

# Settings that data/runs and the stored tables do not know, with the value that their runs had: at
# that value a setting is no part of a run's name.
ADDED = {
    "budget": "images",
    "evaluate_every": 1,
    "spread": False,
    "method.ramp": "none",
    "method.fit_from": 0.0,
    "method.fit_full": 1.0,
    "milestones": (0.5, 0.75),
    "decay": 0.1,
    "nesterov": True,
    "bank": "float32",
    "method.no_candidate": "hard",
    "method.random_carry": False,
}
# What is TOAST's `carried_loss` now was `combination` when older runs were made.
FORMS = {"loss": "label-and-kl", "target": "target"}
# Raise when the meaning of a stored result changes, so that no older one passes for a new one.
FORMAT = 1


def to_json(config: TrainConfig) -> dict[str, Any]:
    """The settings as plain data; the method carries its name."""
    plain = asdict(config)
    plain["method"] = {"name": config.method.name, **plain["method"]}
    return plain


def from_json(plain: dict[str, Any]) -> TrainConfig:
    """The config that `to_json` was given.

    Raises:
        ValueError: an unknown method, or a value that the config refuses.
        TypeError: a field that the config does not have, or one of another type.
    """
    try:
        if not isinstance(plain, dict) or not isinstance(plain["method"], dict):
            raise BadType("a dictionary is missing")
        plain = dict(plain)
        method = dict(plain.pop("method"))
        name = one_of("method", method.pop("name"), CONFIGS)
        if "combination" in method:
            method["carried_loss"] = FORMS[method.pop("combination")]
        data, augment = DataConfig(**plain.pop("data")), AugmentConfig(**plain.pop("augment"))
        if "milestones" in plain:  # JSON has no tuples
            plain["milestones"] = tuple(plain["milestones"])
        return TrainConfig(data=data, augment=augment, method=CONFIGS[name](**method), **plain)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadType(f"these are no settings of a run: {error}.") from error


def run_key(config: TrainConfig, fingerprint: str) -> str:
    """16 hex digits that name a run: its settings, its data's contents, the format."""
    settings = to_json(config)
    # Where the data lie and who decodes them does not change what they are.
    for unimportant in ("path", "workers"):
        settings["data"].pop(unimportant)
    settings["method"].pop("medoid_memory", None)  # nor what a computation may take
    if form := settings["method"].pop("carried_loss", None):  # as stored runs had it
        settings["method"]["combination"] = next((o for o, n in FORMS.items() if n == form), form)
    for name, before in ADDED.items():
        *group, last = name.split(".")
        part = settings[group[0]] if group else settings
        if part.get(last) == before:
            part.pop(last)
    content = {"config": settings, "data": fingerprint, "format": FORMAT}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
