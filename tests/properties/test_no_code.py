"""Nothing that is loaded can run: no reader of pickles, no evaluation of text, anywhere of ours."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = sorted([*(ROOT / "toastlab").rglob("*.py"), *(ROOT / "data").rglob("*.py")])
OURS += sorted([*(ROOT / "notebooks").glob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")])
NEVER = {
    *("eval", "exec", "compile", "__import__", "execfile", "read_pickle", "to_pickle", "unpickle"),
    *("os.system", "os.popen", "joblib.load", "torch.jit.load", "torch.hub.load", "yaml.load"),
    *("np.fromregex", "torch.compiler.load", "runpy.run_path", "pd.eval", "torch.package"),
}
MODULES = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "yaml", "runpy", "code"}


def source(file: Path) -> str:
    """The code of a file; of a notebook, of its cells but for magic."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        return text
    cells = [c["source"] for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    lines = [line for cell in cells for line in [*"".join(cell).splitlines(), ""]]
    return "\n".join(line for line in lines if not line.startswith(("%", "!")))


def name_of(node: ast.expr) -> str:
    """`a.b.c` of a function that is called so."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def dangers(text: str) -> Iterator[str]:
    """What of a file's text could run what it reads."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            yield from (f"import {n}" for n in names if n.split(".")[0] in MODULES)
        if not isinstance(node, ast.Call):
            continue
        name, options = name_of(node.func), {k.arg: k.value for k in node.keywords}
        if name in NEVER or name.rpartition(".")[2] in ("read_pickle", "load_module"):
            yield name
        if name.endswith("torch.load") or name == "torch.load":
            safe = options.get("weights_only")
            if not (isinstance(safe, ast.Constant) and safe.value is True):
                yield "torch.load without weights_only=True"
        if name in ("np.load", "numpy.load"):
            allowed = options.get("allow_pickle", ast.Constant(False))
            if not (isinstance(allowed, ast.Constant) and allowed.value is False):
                yield "np.load with pickles"
        shell = options.get("shell")
        if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
            yield f"{name} through a shell"


@pytest.mark.parametrize("file", OURS, ids=lambda f: str(f.relative_to(ROOT)))
def test_no_reader_runs_what_it_reads(file: Path) -> None:
    assert not list(dangers(source(file)))


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import load",
        "import torch\ntorch.load('a')",
        "torch.load('a', weights_only=False)",
        "np.load('a', allow_pickle=True)",
        "eval('1')",
        "joblib.load('a')",
        "pandas.read_pickle('a')",
        "subprocess.run('a', shell=True)",
        "def f():\n    exec(text)",
    ],
)
def test_the_search_finds(line: str) -> None:
    assert len(list(dangers(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "torch.load('a', weights_only=True)",
        "np.load('a')",
        "torch.compile(model)",
        "model.eval()",
        "re.compile('a')",
    ],
)
def test_the_search_leaves_alone(line: str) -> None:
    assert not list(dangers(line))
