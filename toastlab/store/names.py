"""The name of a run: what it is a result of, as plain data and as sixteen hex digits."""

import hashlib
import json
from dataclasses import is_dataclass
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
    "milestones": (0.5, 0.75),
    "decay": 0.1,
    "nesterov": True,
    "bank": "float32",
}
# Raise when the meaning of a stored result changes, so that no older one passes for a new one.
FORMAT = 1
# The same of one method, so that the runs of the others stay what they are: TOAST's carry was
# ordered by 1 - p, which is 1 in float32 for every large p; BAKE's companions could be the anchor
# itself; Tf-KD self multiplied by 1 for the data's own classes.
FORMAT_OF = {"toast": 2, "bake": 2, "tf-kd-self": 2}


def to_json(config: TrainConfig) -> dict[str, Any]:
    """The settings as plain data; the method carries its name."""
    # `asdict` would copy each number and text, and takes five times as long
    plain = {n: dict(vars(v)) if is_dataclass(v) else v for n, v in vars(config).items()}
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
        data, augment = DataConfig(**plain.pop("data")), AugmentConfig(**plain.pop("augment"))
        if "milestones" in plain:  # JSON has no tuples
            plain["milestones"] = tuple(plain["milestones"])
        return TrainConfig(data=data, augment=augment, method=CONFIGS[name](**method), **plain)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadType(f"these are no settings of a run: {error}.") from error


def format_of(method: str) -> int:
    """The format that a run of this method, by its name, has now."""
    return FORMAT_OF.get(method, FORMAT)


def run_key(config: TrainConfig, fingerprint: str) -> str:
    """16 hex digits that name a run: its settings, its data's contents, the format."""
    settings = to_json(config)
    # Where the data lie and who decodes them does not change what they are.
    for unimportant in ("path", "workers"):
        settings["data"].pop(unimportant)
    settings["method"].pop("medoid_memory", None)  # nor what a computation may take
    for name, before in ADDED.items():
        if settings.get(name) == before:
            settings.pop(name)
    form = format_of(config.method.name)
    content = {"config": settings, "data": fingerprint, "format": form}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
