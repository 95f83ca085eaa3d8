"""Every public name has an example in its docstring, and every example runs."""

import doctest
import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

import toastlab

PACKAGE = Path(toastlab.__file__).parent
WITH_EXAMPLES = [
    ".".join(("toastlab", *file.relative_to(PACKAGE).with_suffix("").parts))
    for file in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in file.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", toastlab.__all__)
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>> " in (getattr(toastlab, name).__doc__ or ""), name


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert tried > 0
    assert failed == 0


def test_the_public_names_are_what_type_checkers_and_python_see() -> None:
    """The lazy face, its list, and what is imported for type checkers name the same."""
    listed = {name for names in toastlab._HOMES.values() for name in names}
    assert listed == set(toastlab.__all__)
    assert set(toastlab.__all__) <= set(dir(toastlab))
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    seen = source.split("if TYPE_CHECKING:")[1].split("# Where each")[0]
    for home, names in toastlab._HOMES.items():
        assert f"from toastlab.{home} import" in seen
        for name in names:
            assert f" {name}" in seen
            assert getattr(importlib.import_module(f"toastlab.{home}"), name) is getattr(
                toastlab, name
            )
    with pytest.raises(AttributeError, match="module 'toastlab' has no attribute 'nothing'"):
        _ = toastlab.nothing


def test_no_two_classes_share_a_name() -> None:
    """A signature on the site names a class without its module, and must lead to one class."""
    sources = [file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")]
    named = Counter(name for text in sources for name in re.findall(r"^class (\w+)", text, re.M))
    assert [name for name, times in named.items() if times > 1] == []
