"""The house rules that no reviewer should have to check by eye."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_stmask

ROOT = Path(napari_stmask.__file__).parent
FLOOR = {
    "core": 1, "io": 2, "viz": 2, "features": 2, "analysis": 2, "nn": 3, "models": 4,
    "pipeline": 5, "settings": 5, "compute": 5, "scoring": 5, "api": 5, "prediction": 5,
    "bare_image": 5, "prediction_checks": 5, "prediction_overlap": 5, "prediction_scoring": 5,
    "evaluation": 5, "gene_atlas": 5, "stored_genes": 5, "integration": 5,
    "placement": 5, "reclustering": 5, "recipes": 5, "reporting": 5, "annotations": 5,
    "cli": 6, "cli_run": 6, "cli_predict": 6, "cli_predicted": 6, "cli_reading": 6, "cli_genes": 6,
    "cli_integrate": 6, "cli_options": 6, "cli_recluster": 6, "cli_report": 6, "cli_compare": 6,
    "cli_annotate": 6, "cli_analysis": 6, "gui": 6,
}  # fmt: skip
# Rooms of one floor that may call one another, because one prepares what the other consumes.
SAME_FLOOR = {("analysis", "features"), ("features", "io"), ("viz", "io"), ("io", "viz")}
WINDOW = {"napari", "qtpy", "magicgui", "superqt", "vispy", "pyqtgraph", "PyQt6", "PySide6"}
MODULES = sorted(p for p in ROOT.rglob("*.py") if p.name != "__init__.py" or p.parent != ROOT)


def room(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> list[tuple[str, ...]]:
    """Absolute dotted names that a module imports, at any depth of its code."""
    out = []
    package = ("napari_stmask", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            out += [tuple(a.name.split(".")) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            stem = base + tuple((node.module or "").split(".")) * bool(node.module)
            out += [stem if node.module else (*stem, a.name) for a in node.names]
    return out


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    own = room(path)
    for name in imports(path):
        if name[0] == "napari_stmask" and len(name) > 1 and name[1] in FLOOR and name[1] != own:
            down = FLOOR[name[1]] < FLOOR[own]
            # The faces and the pipeline's siblings may call along their floor.
            along = FLOOR[name[1]] == FLOOR[own] and (
                FLOOR[own] >= 5 or (own, name[1]) in SAME_FLOOR
            )
            assert down or along, f"{own} imports {'.'.join(name)}"
        if own not in ("gui", "cli", "cli_run"):
            assert name[0] not in WINDOW, f"{own} imports {name[0]}"
        if own not in ("nn", "models", "cli"):
            assert name[0] != "torch", f"{own} imports torch"
        assert not (name[0] == "napari" and any(part.startswith("_") for part in name[1:]))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_are_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_one_place_densifies_and_nothing_is_global(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for word in (
        "import pickle",
        "torch.load(",
        "np.random.seed",
        "torch.manual_seed",
        "os.environ[",
    ):
        assert word not in text, f"{word} in {path.name}"
    if path != ROOT / "core" / "memory.py":
        assert ".toarray(" not in text
        assert ".todense(" not in text


def _loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_import_alone_loads_nothing_heavy() -> None:
    loaded = _loaded("import napari_stmask")
    assert not loaded & {"torch", "scanpy", "napari", "qtpy", "anndata", "numpy", "pandas"}


def test_parameters_load_no_torch() -> None:
    code = "import napari_stmask.models as m; m.params_of('spamask').preset()"
    assert not _loaded(code) & {"torch", "scanpy", "napari", "qtpy"}


def test_public_names_resolve() -> None:
    for name in napari_stmask.__all__:
        if name not in ("view", "save_desk"):
            assert callable(getattr(napari_stmask, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        napari_stmask.nonsense  # noqa: B018


def test_no_submodule_shadows_a_public_name() -> None:
    """``import napari_stmask.x`` would replace the function ``napari_stmask.x``."""
    names = {p.stem if p.is_file() else p.name for p in ROOT.iterdir()}
    assert not names & set(napari_stmask.__all__)
