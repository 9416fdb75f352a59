"""Imports point one way, the light modules stay light, and nothing dangerous is called."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "stiffcore"

# The layout in stiffcore/README.md: a module imports, directly or through others, only what stands above it there.
ORDER = re.findall(r"^    ([a-z0-9_]+) {2,}\S", (PACKAGE / "README.md").read_text("utf-8"), re.MULTILINE)
WITHOUT_TORCH = (  # noqa: SIM905
    "own_weights own_images image_files catalogue manifest cifar10 stability step_limits result_cache analysis estimate agreement modes nonnormality spectra_compared perturbation shipping sweep row_values tables label_spread correlation groups_compared published comparison tables_text evidence claims "
    "stored_rows one_step ode stiff_systems ode_net block_flow jobs cli"
).split()
HEAVY = ("torch", "torchvision", "numba", "streamlit")
MAY_UNPICKLE = PACKAGE / "cifar10_archive.py"  # the official archive, after its hash check, arrays only


def sources() -> list[Path]:
    return sorted([*PACKAGE.rglob("*.py"), *ROOT.glob("pages/**/*.py"), *ROOT.glob("app.py")])


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def module_of(path: Path) -> str:
    """stiffcore/figures/theme.py -> figures: a folder is one module here."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, inside functions too, by its full name."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    return names


def import_graph() -> dict[str, set[str]]:
    """module -> the stiffcore modules that it imports, itself left out."""
    graph: dict[str, set[str]] = {module_of(path): set() for path in PACKAGE.rglob("*.py")}
    for path in PACKAGE.rglob("*.py"):
        own = {name.split(".")[1] for name in imported(path) if name.startswith("stiffcore.")}
        graph[module_of(path)] |= (own & graph.keys()) - {module_of(path)}
    return graph


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    found, todo = set(), [start]
    while todo:
        for module in graph[todo.pop()] - found:
            found.add(module)
            todo.append(module)
    return found


def test_the_layout_lists_every_module():
    assert sorted(ORDER) == sorted(import_graph().keys() - {"__init__"})


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_from_above_it(module):
    below = {
        name for name in reached(import_graph(), module) if name in ORDER and ORDER.index(name) >= ORDER.index(module)
    }
    assert not below


def test_no_module_imports_itself_through_others():
    graph = import_graph()
    assert [module for module in graph if module in reached(graph, module)] == []


def test_the_package_never_imports_streamlit_or_pages():
    for path in PACKAGE.rglob("*.py"):
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & {"streamlit", "pages", "app"}, path


def test_light_modules_import_nothing_heavy():
    """In one fresh process; the first module that brings one in is named."""
    figures = [f"figures.{path.stem}" for path in sorted((PACKAGE / "figures").glob("*.py")) if path.stem != "__init__"]
    modules = [name for name in WITHOUT_TORCH if (PACKAGE / f"{name}.py").exists()] + figures
    program = (
        "import importlib, sys\n"
        f"for module in {modules!r}:\n"
        "    importlib.import_module('stiffcore.' + module)\n"
        f"    heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    assert not heavy, (module, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_neither_the_commands_nor_the_first_paint_wait_for_pandas():
    """It takes longer to import than everything else before the home page's title."""
    first = [name for name in imported(ROOT / "app.py") if name.startswith(("pages.shared.", "stiffcore.figures."))]
    program = (
        "import importlib, sys\n"
        "from stiffcore import cli\n"
        "cli.parser()\n"
        "assert 'pandas' not in sys.modules, 'a command'\n"
        f"for module in {sorted(first)!r}:\n"
        "    importlib.import_module(module)\n"
        "    assert 'pandas' not in sys.modules, module\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert first
    assert done.returncode == 0, done.stderr


def keywords(path: Path) -> list[tuple[str, object]]:
    """The keyword arguments with a constant value of every call."""
    calls = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))
    return [(k.arg, k.value.value) for call in calls for k in call.keywords if isinstance(k.value, ast.Constant)]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_dangerous_is_called(path):
    forbidden = {("allow_pickle", True), ("weights_only", False), ("shell", True)}
    assert not forbidden & {(name, value) for name, value in keywords(path) if isinstance(value, bool)}
    if path != MAY_UNPICKLE:
        assert not {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"} & imported(path)
    called = {
        node.func.id for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"eval", "exec", "compile", "print"} - ({"print"} if path.name.startswith("cli") else set())


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_load_of_numpy_and_torch_says_that_it_is_safe(path):
    """np.load with allow_pickle=False, torch.load with weights_only=True, spelt out."""
    for node in ast.walk(tree(path)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load"):
            continue
        owner, said = ast.unparse(node.func.value), {k.arg: ast.unparse(k.value) for k in node.keywords}
        if owner in ("np", "numpy"):
            assert said.get("allow_pickle") == "False"
        if owner == "torch":
            assert said.get("weights_only") == "True"
