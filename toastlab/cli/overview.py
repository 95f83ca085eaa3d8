"""What the command line says of itself before anything else is loaded: texts only.

Tests hold the sentences to the docstrings they stand for.
"""

import shutil
import textwrap
from collections.abc import Mapping

from toastlab.training.names import MODELS

TITLE = "toastlab: self-knowledge distillation you can see, built around TOAST (Yin et al., 2024)."
# Group -> words of a command -> first line of its help.
GROUPS: dict[str, dict[str, str]] = {
    "Start here": {
        "demo": "TOAST against cross-entropy on real images, in minutes: a table and a report.",
        "lab": "Opens JupyterLab on the notebooks, on this machine only and behind its token.",
    },
    "Train and compare": {
        "train": "Trains one network with one method and stores the run; a stored run is shown.",
        "compare": "Compares methods on one data set, with the same seeds and with intervals.",
        "sweep": "Searches over any settings x seeds: a table of all runs, the settings ranked.",
        "study list": "What each study asks and how long it takes; trains nothing.",
        "study run": "Trains the runs of a study and writes its tables; says first how long.",
        "study page": "Writes the page about a study from its stored tables; trains nothing.",
    },
    "Look": {
        "analyse": "Every score of every sample of a training: doubtful labels, hard samples.",
        "runs list": "The finished runs of a store.",
        "runs show": "One run: settings, last epoch, where it was made.",
        "runs rm": "Removes runs by name; they can only be trained again.",
        "runs gc": "Removes what killed processes left; finished runs and what is in use stay.",
        "dashboard": "Serves the ablation and the under-trained samples as an app without code.",
    },
    "Check": {
        "data list": "The data sets: what they are, and whether they are ready on this machine.",
        "data fetch": "Downloads a data set through torchvision and checks it.",
        "data check": "Reads a data set whole: checksums, every file, labels.",
        "doctor": "Checks machine, embedded data and store; exit code 1: something is wrong.",
        "bench": "Measures this machine: methods, data path, medoids, memory, beside alternatives.",
    },
}
COMMANDS = {words: line for group in GROUPS.values() for words, line in group.items()}
# The file a command is in, where it is not called as the command's first word.
FILES = {"demo": "compare", "lab": "serve", "dashboard": "serve"}
TAKE_METHOD = ("train", "sweep")
RENAMED = {
    "ablation": "study run ablation",
    "claims": "study page peers",
    "layouts": "study run layouts",
    "peers": "study run peers",
    "recipe": "study run recipe",
    "recipe list": "study page recipe",
    "recipe page": "study page recipe",
    "regime": "study run regime",
}
METHODS = {
    "toast": "TOAST. Both weights 0 is cross-entropy; one of them 0 is the other stage alone.",
    "cross-entropy": "Plain cross-entropy; nothing to set.",
    "label-smoothing": "Label smoothing.",
    "ols": "OLS: online label smoothing by the mean right prediction of the class.",
    "tf-kd": "Tf-KD, regularisation form: a hand-made teacher.",
    "tf-kd-self": "Tf-KD, self form: the same network trained before is the teacher.",
    "cs-kd": "CS-KD: agreement with another image of the same class.",
    "ps-kd": "PS-KD: targets softened by the last epoch's predictions.",
    "dlb": "DLB: every sample twice in a row, distilled from the first time.",
    "bake": "BAKE: soft targets ensembled over similar images of the batch.",
    "byot": "BYOT: exits inside the network, taught by its end.",
    "selc": "SELC: labels that past predictions correct, from a share of the epochs on.",
    "elr": "ELR: a term that holds predictions to their own moving average.",
    "zipf": "Zipf's label smoothing: wrong classes weighed by their rank among the logits.",
    "gce": "GCE: a loss that believes doubtful labels less.",
    "sce": "SCE: cross-entropy and reverse cross-entropy.",
}


def overview(first: str = "") -> str:
    """All commands, or those that begin with the word `first`."""
    parts = [TITLE, *(f"{name}\n{_commands(rows)}" for name, rows in GROUPS.items())]
    if first:
        parts = [_commands({w: line for w, line in COMMANDS.items() if w.split()[0] == first})]
    return "\n\n".join([*parts, "Each command explains itself: toastlab train toast --help"])


def methods(command: str) -> str:
    """What a command that wants a method says without one: the methods and the networks."""
    rows = {f"{command} {name}": line for name, line in METHODS.items()}
    if command == "sweep":
        rows["sweep FILE.toml"] = "What is to be swept, in a file."
    networks = {name: f"{what}; from {size} pixels" for name, (what, size) in MODELS.items()}
    options = f"Options: toastlab {command} toast --help. Networks, --model:"
    return "\n\n".join([COMMANDS[command], _commands(rows), options, columns(networks)])


def _commands(rows: Mapping[str, str]) -> str:
    return columns({f"toastlab {words}": line for words, line in rows.items()})


def columns(rows: Mapping[str, str]) -> str:
    """Two columns, the second one wrapped at the terminal's edge."""
    left = max(map(len, rows)) + 4
    width = max(40, shutil.get_terminal_size((120, 24)).columns - left)
    lines = []
    for name, text in rows.items():
        first, *rest = textwrap.wrap(text, width)
        lines += [f"  {name:<{left - 2}}{first}", *(" " * left + line for line in rest)]
    return "\n".join(lines)
