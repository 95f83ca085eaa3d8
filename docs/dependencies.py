"""Writes docs/dependencies.md from what is installed here; `make lock` does so after the lock.

python docs/dependencies.py            the page
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
APART = "course"  # an extra that is installed with no other, and so not in the lock
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")

TEXT = """# Dependencies

Made by `python docs/dependencies.py` from the packages installed; a test holds every declared
dependency to it.

- **The lock**: `constraints.txt` has every version that `make demo`, `make test` and
  `environment.yml` install, for Python 3.10 to 3.13 on Linux, macOS and Windows; CI uses it as it
  stands. What this page names is the lock's for Python 3.11 on Linux, where it was tested; the job
  in `.github/workflows` tests the other Pythons. `make lock` moves it to today's newest. It has no
  hashes: PyTorch may come from a local wheel, whose hash is another.
- **Ranges** are in `pyproject.toml`, each with its reason. `make test LATEST=1` installs the newest
  packages within them, `make test-lowest` the lower ends (`.venv-lowest`, Python 3.11 or 3.10; it
  downloads several GB, because torch 2.6 for Linux comes with CUDA's libraries).
- **Known holes**: `pip install pip-audit`, then `pip-audit -r constraints.txt --no-deps`; it asks
  PyPI's advisory database and so needs the network. {audit}
- **Apart**: the extra `course` is neither in the lock nor below. It is nbgrader (BSD licence, tried
  with 0.9.6), which marks assignments for lecturers; it would change everybody's JupyterLab.

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
    """Every requirement in pyproject.toml but those apart: name -> the text behind it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"]]
    for extra, more in project["optional-dependencies"].items():
        if extra != APART:
            lines += more
    found = {}
    for line in lines:
        if line.startswith("toastlab["):
            continue  # another of our extras
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


def lock(**environment: str) -> dict[str, str]:
    """What constraints.txt pins: name -> version, where its markers hold.

    Args:
        environment: markers' values other than those here, as `python_full_version`.
    """
    from packaging.requirements import Requirement  # not there yet when --lowest is asked

    rows = [x for x in LOCK.read_text(encoding="utf-8").splitlines() if x and x[0] != "#"]
    pins = map(Requirement, rows)
    held = [pin for pin in pins if pin.marker is None or pin.marker.evaluate({**environment})]
    return {plain(pin.name): str(pin.specifier).removeprefix("==") for pin in held}


if __name__ == "__main__":
    if "--lowest" in sys.argv:
        print("\n".join(lowest()))
    else:
        PAGE.write_text(page(), encoding="utf-8")
