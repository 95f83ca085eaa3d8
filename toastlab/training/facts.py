"""Where a run's result comes from, as it is stored with the run."""

from collections.abc import Mapping, Sequence

import torch

from toastlab.training import device as devices
from toastlab.training.config import TrainConfig

SHARED = ("ranks", "together")  # columns of metrics: how many processes, how many networks as one


def run_facts(
    config: TrainConfig, device: torch.device, rows: Sequence[Mapping[str, float]]
) -> dict[str, str]:
    """Software and hardware, threads, precision; where it was not trained alone, with how many.

    Args:
        rows: the run's metrics, one row per epoch.
    """
    bf16 = devices.uses_bf16(config.precision, device)
    facts = devices.facts(device) | {
        "threads": str(config.threads),
        "precision": "bf16 autocast" if bf16 else "float32",
    }
    for what in SHARED:
        changes: list[str] = []
        for row in rows if any(what in row for row in rows) else ():
            many = f"{row.get(what, 1):.0f}"
            if not changes or changes[-1].split()[0] != many:
                changes.append(f"{many} from epoch {row['epoch']:.0f}")
        if changes:
            facts[what] = ", ".join(changes)
    return facts
