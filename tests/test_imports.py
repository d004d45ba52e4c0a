"""The layers of the house: what may be imported by what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_cellprompt

PACKAGE = Path(napari_cellprompt.__file__).parent
SCREEN = ("napari", "qtpy", "magicgui", "superqt", "PyQt5", "PyQt6", "PySide6", "vispy")

# From each part of the package, the other parts that it may use.
ALLOWED = {
    "core": set(),
    "io": {"core"},
    "jobs": {"core", "io"},
    "layers": {"core", "io", "jobs"},
    "widgets": {"core", "io", "jobs", "layers", "_writer"},
    "cli": {"core", "io", "jobs", "_sample_data"},
}


def modules_of(*parts: str) -> list[str]:
    """Dotted names of all modules below the named parts of the package."""
    return [
        ".".join(
            ("napari_cellprompt", *path.relative_to(PACKAGE).with_suffix("").parts)
        ).removesuffix(".__init__")
        for part in parts
        for path in sorted((PACKAGE / part).rglob("*.py"))
    ]


def loaded_after(*names: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after importing ``names``."""
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    # -I: nothing of the surrounding process, its folder or its environment.
    answer = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.split())


@pytest.mark.parametrize("part", ["core", "io", "jobs", "cli"])
def test_no_napari_or_qt_below_the_layers(part: str) -> None:
    names = modules_of(part)
    assert names
    assert loaded_after(*names).isdisjoint(SCREEN)


@pytest.mark.parametrize(
    "name",
    ["napari_cellprompt", "napari_cellprompt.cli.main", "napari_cellprompt._writer"],
)
def test_torch_waits_until_it_is_needed(name: str) -> None:
    assert loaded_after(name).isdisjoint({"torch", "torchvision", *SCREEN})


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_go_one_way(part: str) -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {other}"
        for path in sorted((PACKAGE / part).rglob("*.py"))
        for other in sorted(parts_imported_by(path) - ALLOWED[part] - {part})
    ]
    assert wrong == []


def parts_imported_by(path: Path) -> set[str]:
    """Parts of the package that a file imports, functions and type checking included."""
    package = ("napari_cellprompt", *path.relative_to(PACKAGE).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {
            name.split(".")[1]
            for name in names
            if name.startswith("napari_cellprompt.") and is_part(name.split(".")[1])
        }
    return found


def is_part(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()
