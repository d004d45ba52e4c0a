"""The layers of the house: what may be imported by what."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interpreters import run_python

import napari_cellprompt

PACKAGE = Path(napari_cellprompt.__file__).parent
SCREEN = ("napari", "qtpy", "magicgui", "superqt", "PyQt5", "PyQt6", "PySide6", "vispy")


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
    answer = run_python("-c", code)
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.split())


@pytest.mark.parametrize(
    "part", ["core", "io", "tasks", "evaluation", "session", "predictors", "cli"]
)
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
