"""Rules of the house that no linter holds: sizes, and the wall before the networks."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import napari_cellprompt
from napari_cellprompt.core.zoo.registry import MODELS

ROOT = Path(napari_cellprompt.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

LONGEST = 500

MOST = 15
MORE = {"cli": 20, "io": 18}
"""A file a command; and a room that fills up: its number is to go down."""

KNOWING = (
    "core/inference",
    "core/networks",
    "core/zoo",
    "core/training",  # what a network learns from, and what is minimised
    "core/adapt",  # a copy of a network that learns, and is written
    "predictors",  # the published interface to SAM networks; nothing is built on it
    "cli/examples.py",  # what a user may type, as shown by --help
    "cli/models.py",  # says of each family what it is called
)
"""What may know a network or a model."""


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def networks() -> set[str]:
    """Names of the classes of networks."""
    names = set()
    for path in (ROOT / "core" / "networks").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                names.add(node.name)
    return names


@cache
def code_of(path: Path) -> str:
    """A module without its comments and docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                line
                for line in body
                if not (
                    isinstance(line, ast.Expr)
                    and isinstance(line.value, ast.Constant)
                    and isinstance(line.value.value, str)
                )
            ] or [ast.Pass()]
    return ast.unparse(tree)


def test_modules_are_short() -> None:
    long = {
        named(path): lines
        for path in MODULES
        if (lines := len(path.read_text().splitlines())) > LONGEST
    }
    assert not long


def test_folders_hold_few_modules() -> None:
    folders: dict[str, int] = {}
    for path in MODULES:
        if path.name != "__init__.py":
            folder = path.parent.relative_to(ROOT).as_posix()
            folders[folder] = folders.get(folder, 0) + 1
    full = {name: n for name, n in folders.items() if n > MORE.get(name, MOST)}
    assert not full


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(rf"\b({'|'.join(sorted(networks()))})\b", id="class of a network"),
        pytest.param(r"\bspec\.drawing\b|\bDrawingSpec\b", id="drawing"),
        pytest.param(r"\bmodel\.network\b|\bimage_size // 4\b", id="inside of a network"),
        pytest.param(r"(==|!=|in) ?\(?'(sam1|sam2|focus)'", id="family"),
        pytest.param(rf"'({'|'.join(map(re.escape, sorted(MODELS)))})'", id="model"),
    ],
)
def test_few_know_networks_and_models(pattern) -> None:
    known = re.compile(pattern)
    found = {
        named(path): hit.group()
        for path in MODULES
        if not named(path).startswith(KNOWING)
        and (hit := known.search(code_of(path))) is not None
    }
    assert not found
