"""The house rules a machine can hold: one set of requirements, one way of imports, small files."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from statistics import median

import pytest

import toastlab
from tests.helpers import NOT_THERE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "toastlab"
FILES = sorted(PACKAGE.rglob("*.py"))
PAGES = [
    p for folder in (".", "docs", "data", "notebooks") for p in sorted((ROOT / folder).glob("*.md"))
]
# The rooms, each importing only those before it; two in one tuple know nothing of each other.
ROOMS = (
    ("core",),
    ("medoids",),
    ("methods", "disk"),
    ("data",),
    ("analysis",),
    ("training",),
    ("store",),
    ("plots",),
    ("course", "bench"),
    ("studies",),
    ("widgets",),
    ("cli",),
)
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}


@cache
def imports(file: Path) -> frozenset[str]:
    """Top-level packages and modules of ours that a file imports, wherever it does so."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "toastlab":
                found |= {f"toastlab.{alias.name}" for alias in node.names}
    return frozenset(found)


def test_environment_and_pyproject_ask_for_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = dict(project["optional-dependencies"])
    del extras["course"]  # for an environment of its own
    every = [project["dependencies"], *extras.values()]
    wanted = {line for lines in every for line in lines if not line.startswith("toastlab[")}
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    listed = {line.strip()[2:] for line in lines if line.strip().startswith("- ")}
    assert f"python{project['requires-python']}" in listed
    assert "--editable ." in listed
    tools = {"conda-forge", "pip", "pip:", "make", "git", "--editable ."}
    tools.add("--constraint constraints.txt")
    assert {x for x in listed - tools if not x.startswith("python>=")} == wanted


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_files_are_small_and_say_what_they_are(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text))


def test_every_room_imports_only_rooms_below() -> None:
    upward = []
    for file in FILES:
        room, *rest = file.relative_to(PACKAGE).parts
        if not rest:
            continue  # the front door and `python -m toastlab`
        for name in imports(file):
            top, _, other = name.partition(".")
            other = other.split(".")[0]
            inside = top == "toastlab" and other in FLOOR and other != room
            if inside and FLOOR[other] >= FLOOR[room]:
                upward.append(f"{room}/{file.name} -> {name}")
    assert not upward
    assert {f.relative_to(PACKAGE).parts[0] for f in FILES if f.parent != PACKAGE} == set(FLOOR)


def test_an_installed_package_has_the_data_that_it_reads() -> None:
    """All that is there: a study whose tables are not made yet says so by itself."""
    text = "".join(f.read_text(encoding="utf-8") for f in PACKAGE.rglob("*.py"))
    wanted = {f"data/{name}" for name in re.findall(r'embedded\("([^"]+)"\)', text)}
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]
    packed = build["build"]["targets"]["wheel"]["force-include"]
    assert len(wanted) >= 9
    assert set(packed) == {name for name in wanted if (ROOT / name).exists()}
    assert all(inside == f"toastlab/_{name}" for name, inside in packed.items())


def test_the_method_alone_asks_for_torch_and_numpy() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {re.split(r"[<>=]", line)[0] for line in project["dependencies"]} == {"torch", "numpy"}
    extras = project["optional-dependencies"]
    assert set(extras) == {"data", "train", "lab", "cluster", "search", "docs", "test", "course"}
    assert "toastlab[lab,cluster,search]" in extras["test"], "make test has all there is"
    assert "toastlab[docs]" in extras["test"], "and make docs needs no set-up of its own"


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


def test_the_method_loads_torch_and_nothing_else() -> None:
    """`toastlab`, and every file of `core`, `medoids` and `methods`, in a new process."""
    rooms = ("core", "medoids", "methods")
    files = [f for room in rooms for f in sorted((PACKAGE / room).glob("*.py"))]
    names = [f"toastlab.{f.parent.name}.{f.stem}".removesuffix(".__init__") for f in files]
    told = run_python(
        "import sys, numpy, torch\n"
        "before = set(sys.modules)\n"
        f"import toastlab, {', '.join(names)}\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('toastlab.')))"
    ).splitlines()
    assert set(told[0].split()) <= {"toastlab", "torch"}
    loaded = {name.split(".")[1] for name in told[1].split()}
    assert loaded == set(rooms)


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    told = run_python("import sys, toastlab; print(*[m for m in sys.modules if 'torch' in m])")
    assert not told.strip()


OTHERS = ("torchvision", "sklearn", "PIL", "pandas", "scipy", "tyro", "rich", "safetensors")


def test_what_is_not_installed_is_named_with_its_extra() -> None:
    """With torch and NumPy alone: the loop works, and the rest says what to install."""
    hidden = NOT_THERE.format(hidden=set(OTHERS))
    extras = {"load": "data", "RunStore": "train", "TrainConfig": "train"}
    code = (
        "import torch, toastlab\n"
        "labels = torch.tensor([0, 1, 0, 1])\n"
        "toast = toastlab.ToastConfig().build(labels, 2, 4)\n"
        "batch = toast.join(torch.zeros(4, 8), labels, torch.arange(4))\n"
        "print(float(toast(torch.zeros(4, 2), batch)) > 0)\n"
    )
    for name in extras:
        code += f"try:\n    toastlab.{name}\nexcept ImportError as e:\n    print(e)\n"
    worked, *said = run_python(hidden + code).splitlines()
    assert worked == "True"
    for (name, extra), told in zip(extras.items(), said, strict=True):
        assert re.match(rf"toastlab\.{name} needs the package '\w+'", told), told
        assert f'pip install "toastlab[{extra}]"' in told
    command = "from toastlab.cli.main import main\nmain(['train', 'toast'])"
    done = subprocess.run(
        [sys.executable, "-c", hidden + command], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2
    assert re.fullmatch(
        r"toastlab: `toastlab train` needs the package '\w+': pip install \"toastlab\[lab\]\"\.\n",
        done.stderr,
    )


@pytest.mark.bar
@pytest.mark.skipif(sys.platform == "win32", reason="counts processor time as Unix does")
def test_bar_importing_the_methods_costs_little_beyond_torch() -> None:
    """At most 0.3 s of processor time and 30 MB: median of five, in turns."""
    code = (
        "import resource, sys; {};"
        "used = resource.getrusage(resource.RUSAGE_SELF);"
        "scale = 2**20 if sys.platform == 'darwin' else 2**10;"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss / scale)"
    )
    seen: dict[str, list[list[float]]] = {"import torch": [], "import toastlab.methods": []}
    for _ in range(5):
        for statement, rows in seen.items():
            rows.append([float(x) for x in run_python(code.format(statement)).split()])
    torch_s, torch_mb = (median(row[i] for row in seen["import torch"]) for i in (0, 1))
    own_s, own_mb = (median(row[i] for row in seen["import toastlab.methods"]) for i in (0, 1))
    assert own_s - torch_s <= 0.3
    assert own_mb - torch_mb <= 30


def test_imports_run_one_way() -> None:
    """No circle between our modules, whether at the top of a file or inside a function."""
    graph = {}
    for file in FILES:
        parts = file.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[name] = imports(file)
    graph["toastlab"] = frozenset()  # the front door re-exports; nobody inside uses it
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path, name])
        if name in done:
            return
        for other in sorted(graph[name] & graph.keys() - {name}):
            visit(other, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_nobody_inside_uses_the_front_door() -> None:
    for file in FILES:
        names = imports(file)
        if "toastlab" in names and file != PACKAGE / "__init__.py":
            modules = {m for m in names if m.startswith("toastlab.")}
            for module in modules:
                path = ROOT / module.replace(".", "/")
                assert path.with_suffix(".py").exists() or path.is_dir(), (file.name, module)


def test_heavy_libraries_stay_in_their_rooms() -> None:
    for file in FILES:
        where = str(file.relative_to(PACKAGE))
        tops = {name.split(".")[0] for name in imports(file)}
        if not where.startswith(("plots/", "widgets/")) and where != "studies/report.py":
            assert not tops & {"matplotlib", "seaborn"}, where
        if not where.startswith("widgets"):
            assert not tops & {"ipywidgets", "IPython"}, where
        if where not in ("cli/terminal.py", "cli/main.py"):
            assert "rich" not in tops, where


def test_no_prints_in_the_library() -> None:
    for file in FILES:
        if file.parent.name == "cli" and file.name in ("terminal.py", "main.py"):
            continue
        calls = [n for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call)]
        assert not [c for c in calls if getattr(c.func, "id", "") == "print"], file.name


def test_the_front_door_is_complete() -> None:
    for name in toastlab.__all__:
        assert getattr(toastlab, name).__doc__


def test_the_loop_over_a_stream_is_short_and_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "own_loop.md").read_text(encoding="utf-8")
    code = next(c for c in re.findall(r"```python\n(.*?)```", text, re.S) if "toast.batches" in c)
    lines = [x for x in code.splitlines() if x.strip() and not x.strip().startswith("#")]
    loop = lines[next(i for i, x in enumerate(lines) if x.startswith("for epoch")) :]
    assert len(lines) - len([x for x in lines if "import" in x]) < 20
    assert len(loop) < 12
    exec(compile(code, "own_loop.md", "exec"), {})
    said = [float(x) for x in re.findall(r"top-1 (\d+\.\d)", capsys.readouterr().out)]
    assert len(said) >= 3
    assert said[-1] > 70
    assert said[-1] > said[0]


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project['version']}\n" in cited
    assert "doi: 10.1109/JAS.2024.124629" in cited


def test_readme_commands_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"(?:`|^    )make (\w+)", text, re.M))
    assert {"demo", "test", "lab"} <= named <= targets
    assert len(text.encode()) < 9_000, "a page for newcomers: the rest has a page in docs/"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for path, heading in re.findall(
        r"\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)", page.read_text("utf-8")
    ):
        target = page.parent / path if path else page
        assert target.exists(), path
        if heading:
            heads = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.M)
            anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads}
            assert heading in anchors, (path, heading)


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


def test_the_changelog_says_where_modules_are_now() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+) \| (the same in )?`(toastlab\.[\w.]+)` \|$", text, re.M)
    assert len(rows) > 20
    for old, same, new in rows:
        names = [f"{new}.{name}" for name in re.findall(r"`(\w+)`", old)] if same else [new]
        for name in names:
            path = ROOT / name.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").exists(), name


def test_pages_name_commands_that_exist() -> None:
    from toastlab.cli import overview

    commands = {tuple(words.split()) for words in overview.COMMANDS}
    groups = {words[0] for words in commands if len(words) > 1}
    for page in PAGES:
        if page.name == "CHANGELOG.md":  # which has the old ones too
            continue
        for line in re.findall(
            r"(?:`|^ {4,})toastlab ([a-z][a-z ]*)", page.read_text("utf-8"), re.M
        ):
            words = tuple(line.split())
            known = words[:2] in commands if words[0] in groups else words[:1] in commands
            assert known, (page.name, line)


def test_pages_that_are_named_exist() -> None:
    """Pages in capitals, README.md and the like, that code and tests refer to."""
    pages = {p.name for p in ROOT.rglob("*.md") if ".venv" not in p.parts}
    for file in [*FILES, *sorted((ROOT / "tests").rglob("*.py"))]:
        named = set(re.findall(r"\b[A-Z]{3,}\.md\b", file.read_text(encoding="utf-8")))
        assert named <= pages, (file.name, named - pages)


def test_nothing_names_this_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        file = ROOT / name
        if file.suffix in (".py", ".md", ".toml", ".yml", ".ipynb", ".json", ".csv", ""):
            text = file.read_text(encoding="utf-8", errors="ignore")
            assert not re.search(r"(?<![\w.])/(?:home|root|work)/\w", text), name
