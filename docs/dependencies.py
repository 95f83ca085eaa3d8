"""Writes docs/dependencies.md and constraints.txt from what is installed here.

python docs/dependencies.py            both files
python docs/dependencies.py --lowest   prints the lower end of every range, for pip's -c
"""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PAGE, LOCK = ROOT / "docs" / "dependencies.md", ROOT / "constraints.txt"
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")

TEXT = """# Dependencies

Made by `python docs/dependencies.py` from the packages installed; a test holds every declared
dependency to it.

- **Ranges** are in `pyproject.toml`, each with its reason. The upper ends are what `make test` runs
  on, the lower ends what `make test-lowest` installs (`.venv-lowest`, Python 3.11 or 3.10; it
  downloads several GB, because torch 2.6 for Linux comes with CUDA's libraries).
- **The lock**: `constraints.txt` has every version this page names, for Linux and Python 3.11.
  `make setup LOCK=constraints.txt` keeps to it, and so does CI. It has no hashes: PyTorch may come
  from a local wheel, whose hash is another.
- **Known holes**: `pip install pip-audit`, then `pip-audit -r constraints.txt --no-deps`; it asks
  PyPI's advisory database and so needs the network. {audit}

## Licences

What the packages say of themselves, not a lawyer's opinion.

| package | version | licence | needed by |
|---|---|---|---|
"""
AUDIT = "Started once where this was made, without a way to that database: nothing was audited."


def plain(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> dict[str, str]:
    """Every requirement in pyproject.toml: name -> the text behind it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for more in project["optional-dependencies"].values():
        lines += more
    found = {}
    for line in lines:
        found_name = NAME.match(line)
        assert found_name
        found[plain(found_name[0])] = line[found_name.end() :].strip()
    return found


def lowest() -> list[str]:
    """The lower end of every range; what is only for other Pythons stays out."""
    pins = []
    for name, text in declared().items():
        if "python_version" in text and sys.version_info >= (3, 11):
            continue
        low = re.search(r">=([\w.]+)", text)
        assert low, f"{name} has no lower end"
        pins.append(f"{name}=={low[1]}")
    return sorted(pins)


def installed() -> dict[str, Distribution]:
    """Declared packages and all that they need here, by name."""
    found: dict[str, Distribution] = {}
    ahead = list(declared())
    while ahead:
        name = plain(ahead.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # for another system or Python
            continue
        for line in found[name].requires or ():
            match = NAME.match(line)
            if match and "extra ==" not in line:
                ahead.append(match[0])
    return dict(sorted(found.items()))


def licence(package: Distribution) -> str:
    """In few words, from the newest field that says it."""
    about = package.metadata
    text = str(about.get("License-Expression") or "")
    if not text:
        kinds = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or [] if "License" in c]
        text = ", ".join(k for k in kinds if k != "OSI Approved")
    if not text:
        text = next(iter(str(about.get("License") or "").strip().splitlines()), "")
    return text[:80] or "not stated"


def page() -> str:
    """docs/dependencies.md."""
    wanted = declared()
    rows = [
        f"| {name} | {package.version.split('+')[0]} | {licence(package)} | "
        f"{'toastlab' if name in wanted else 'another'} |"
        for name, package in installed().items()
    ]
    return TEXT.format(audit=AUDIT) + "\n".join(rows) + "\n"


def lock() -> str:
    """constraints.txt; a local build is pinned by its public version, which takes it, too."""
    head = "# Made by docs/dependencies.py; used by make setup LOCK=constraints.txt, and in CI.\n"
    rows = [f"{name}=={p.version.split('+')[0]}" for name, p in installed().items()]
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    if "--lowest" in sys.argv:
        print("\n".join(lowest()))
    else:
        PAGE.write_text(page(), encoding="utf-8")
        LOCK.write_text(lock(), encoding="utf-8")
