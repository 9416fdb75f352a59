"""Imports go one way, light modules stay light, and nothing dangerous is called."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "stiffcore"

# The layout in stiffcore/README.md: what stands in a folder imports from this folder, and from what stands above it there.
ORDER = re.findall(r"^    ([a-z0-9_]+) {2,}\S", (PACKAGE / "README.md").read_text("utf-8"), re.MULTILINE)
FRONT = (
    "__init__",
    "__main__",
    "front_door",
    "front_door_growth",
    "front_door_runs",
    "front_door_robustness",
)  # above the layout: they offer what stands in it
MODULES_IN_A_FOLDER = 14
WITHOUT_TORCH = (
    "networks.uploaded images.uploaded images.decode images.forms images.avif images.picture_files networks.catalogue networks.architecture networks.geometry networks.manifest images.cifar10 odes.stability "
    "odes.step_limits odes.spectrum_stability metrics.definitions metrics.readme "
    "storage.cache analysis.requests analysis.results analysis.compute analysis.estimate analysis.agreement analysis.modes "
    "analysis.nonnormality analysis.distances analysis.perturbation sweeps.shipping sweeps.local sweeps.tasks statistics.row_values "
    "statistics.tables statistics.label_spread statistics.partial statistics.permutation statistics.resampling statistics.correlation statistics.group_tests paper.published "
    "paper.comparison paper.tables_text paper.estimate paper.evidence paper.resampled paper.findings paper.claims sweeps.stored_rows odes.one_step odes.example "
    "odes.stiff_systems odes.ode_net odes.block_flow conventions jobs commands.main matrices.own "
    "metrics.within runs.steps runs.run runs.kept runs.uploading runs.rows runs.shipping statistics.over_training "
    "growth.requests growth.compute growth.rows growth.estimate growth.shipping "
    "adversarial.requests adversarial.compute adversarial.rows adversarial.relation adversarial.verdict adversarial.collect"
    " networks.training.recipes paper.earlier rebuild.targets rebuild.plan"
)
HEAVY = ("torch", "torchvision", "numba", "streamlit")
MAY_UNPICKLE = PACKAGE / "images" / "fetch.py"  # the official archive, after its hash check, arrays only


def sources() -> list[Path]:
    return sorted([*PACKAGE.rglob("*.py"), *ROOT.glob("pages/**/*.py"), *ROOT.glob("app.py")])


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def module_of(path: Path) -> str:
    """stiffcore/figures/odes/example.py -> figures.odes.example; a package's __init__ is the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


@cache
def imported(path: Path) -> frozenset[str]:
    """Every module that a file imports, inside functions too, by its full name."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    return frozenset(names)


@cache
def import_graph() -> dict[str, frozenset[str]]:
    """module -> the stiffcore modules that it imports, itself left out; a folder's own name counts where a file names nothing in it."""
    paths = {module_of(path): path for path in PACKAGE.rglob("*.py")}
    graph = {}
    for module, path in paths.items():
        names = {name.removeprefix("stiffcore.") for name in imported(path) if name.startswith("stiffcore.")}
        graph[module] = frozenset((names & paths.keys()) - {module})
    return graph


def reached(graph: dict[str, frozenset[str]], start: str) -> set[str]:
    found, todo = set(), [start]
    while todo:
        for module in graph[todo.pop()] - found:
            found.add(module)
            todo.append(module)
    return found


def test_the_layout_lists_every_folder():
    assert sorted(ORDER) == sorted({module.split(".")[0] for module in import_graph()} - {*FRONT})


@pytest.mark.parametrize("place", ORDER)
def test_a_folder_imports_only_from_above_it(place):
    above = {*ORDER[: ORDER.index(place) + 1], *FRONT}
    up = {
        (module, name)
        for module, names in import_graph().items()
        for name in names
        if module.split(".")[0] == place and name.split(".")[0] not in above
    }
    assert not up


def test_no_module_imports_itself_through_others():
    graph = {
        module: frozenset(name for name in names if (PACKAGE / Path(*name.split("."))).with_suffix(".py").exists())
        for module, names in import_graph().items()
    }
    assert [module for module in graph if module in reached(graph, module)] == []


def test_no_folder_is_a_street():
    """A folder helps to find a subject only if it has few modules."""
    folders = {path.parent for top in ("stiffcore", "pages", "tests") for path in (ROOT / top).rglob("*.py")}
    counts = {
        str(folder.relative_to(ROOT)): sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        for folder in folders
    }
    assert {folder: count for folder, count in counts.items() if count > MODULES_IN_A_FOLDER} == {}


PAGE_ROOMS = ("state", "jobs", "widgets", "shell")


@pytest.mark.parametrize("path", sorted(ROOT.glob("pages/shared/*/*.py")), ids=lambda path: "/".join(path.parts[-2:]))
def test_a_page_s_folder_never_imports_another_page_s(path):
    rooms = {name.split(".")[2] for name in imported(path) if name.startswith("pages.shared.")}
    own = path.parent.name
    if own in PAGE_ROOMS:
        assert rooms <= set(PAGE_ROOMS)
    else:
        assert rooms <= {*PAGE_ROOMS, own}


# What turns a name or a number into an object, and what it reads. Behind the doors, objects travel.
REGISTRIES = {
    "stiffcore.networks.registry",
    "stiffcore.networks.manifest",
    "stiffcore.images.registry",
    "stiffcore.images.cifar10",
}
DOORS = (
    "front_door",
    "front_door_growth",
    "front_door_runs",
    "front_door_robustness",
    "commands",
    "rebuild",
    "benchmarks",
    "checkpoints",
    "networks",
    "images",
)  # the last two are their own home


def registries_imported(paths: list[Path]) -> set[tuple[str, str]]:
    return {(module_of(path), name) for path in paths for name in imported(path) & REGISTRIES}


def test_behind_the_doors_nothing_imports_a_registry():
    behind = [path for path in PACKAGE.rglob("*.py") if module_of(path).split(".")[0] not in DOORS]
    assert registries_imported(behind) == set()


def test_the_doors_import_the_registries():
    """So that the search would find another import of them."""
    doors = [PACKAGE / "front_door.py", *PACKAGE.glob("commands/*.py"), *ROOT.glob("pages/shared/state/*.py")]
    assert {name for path in doors for name in imported(path)} >= REGISTRIES


def test_the_package_never_imports_streamlit_or_pages():
    for path in PACKAGE.rglob("*.py"):
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & {"streamlit", "pages", "app"}, path


@pytest.mark.parametrize("path", sorted(ROOT.glob("tests/**/*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_module_imports_from_another(path):
    """Fixtures stand in a conftest.py, which pytest finds by itself; helpers stand in modules without tests."""
    modules = {name for name in imported(path) if name.split(".")[0] == "tests"}
    assert not {name for name in modules if re.search(r"\.(test_\w+|conftest)(\.|$)", name)}


def test_light_modules_import_nothing_heavy():
    """In one new process; the first module that imports a heavy one is named."""
    modules = WITHOUT_TORCH.split() + sorted(module_of(path) for path in (PACKAGE / "figures").rglob("*.py"))
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
    before = [
        node for node in tree(ROOT / "app.py").body if isinstance(node, ast.ImportFrom)
    ]  # not those after the title
    names = [f"{node.module}.{alias.name}" for node in before for alias in node.names]
    first = [name for name in names if name.startswith(("pages.shared.", "stiffcore.figures."))]
    program = (
        "import importlib, sys\n"
        "from stiffcore.commands import main\n"
        "main.parser()\n"
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
    assert not called & {"eval", "exec", "compile", "print"} - ({"print"} if path.parent.name == "commands" else set())


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_load_of_numpy_and_torch_says_that_it_is_safe(path):
    """np.load with allow_pickle=False, torch.load with weights_only=True, written out."""
    for node in ast.walk(tree(path)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load"):
            continue
        owner, said = ast.unparse(node.func.value), {k.arg: ast.unparse(k.value) for k in node.keywords}
        if owner in ("np", "numpy"):
            assert said.get("allow_pickle") == "False"
        if owner == "torch":
            assert said.get("weights_only") == "True"
