"""The one way from the name of a model to one that runs."""

from __future__ import annotations

import ast
import gc
import os
from pathlib import Path

import pytest
import torch

import napari_cellprompt
from napari_cellprompt.core.errors import CheckpointError
from napari_cellprompt.core.zoo.importing import import_model
from napari_cellprompt.core.zoo.load import LoadedModel, save_checkpoint
from napari_cellprompt.session.segment import load_for_session
from napari_cellprompt.tasks.inputs import loading
from napari_cellprompt.tasks.inputs.loading import load_segmenter

PACKAGE = Path(napari_cellprompt.__file__).parent


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model of other tests, and none of the user's."""
    monkeypatch.setenv("CELLPROMPT_CACHE", str(tmp_path / "cache"))
    loading._last.clear()
    yield
    loading._last.clear()


@pytest.fixture
def file(model: LoadedModel, tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    return save_checkpoint(path, model.network.state_dict(), model.spec)


def test_a_model_in_use_is_shared_by_everyone(file: Path) -> None:
    first = load_segmenter(file, "cpu")
    assert load_segmenter(str(file), torch.device("cpu").type) is first
    assert load_for_session(str(file), "cpu", 1 << 20).segmenter is first


def test_auto_and_none_are_the_same_device(file: Path) -> None:
    assert load_segmenter(file, "auto") is load_segmenter(file)


def test_a_model_that_nobody_uses_is_let_go(file: Path) -> None:
    load_segmenter(file, "cpu")
    gc.collect()
    assert not loading._in_use


def test_kept_models_stay_until_two_others_come(file: Path) -> None:
    first = load_segmenter(file, "cpu", keep=True)
    assert load_segmenter(file, "cpu", keep=True) is first
    assert list(loading._last) == [first]


def test_a_file_that_was_replaced_is_loaded_again(file: Path, model: LoadedModel) -> None:
    first = load_segmenter(file, "cpu", keep=True)
    name = "no_obj_ptr"
    state = {**model.network.state_dict(), name: torch.full((1, 128), 3.0)}
    save_checkpoint(file, state, model.spec)
    os.utime(file, ns=(0, 10**9))
    again = load_segmenter(file, "cpu", keep=True)
    assert again is not first
    assert (again.model.loaded.network.state_dict()[name] == 3).all()


def test_budgets_reach_the_model(file: Path) -> None:
    segmenter = load_segmenter(file, "cpu", cache_bytes=123, disk_bytes=456)
    assert segmenter.model.cache.budget_bytes == 123
    assert segmenter.model.files is not None


def test_an_imported_model_goes_by_its_name(file: Path) -> None:
    import_model(file, name="cells")
    first = load_segmenter("cells", "cpu")
    assert first.model.name == "cells"
    assert load_segmenter("cells.pt", "cpu") is first


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt cannot be read"):
        load_segmenter(tmp_path / "none.pt")


def test_nothing_else_loads_models() -> None:
    """A second loader would be a second behaviour."""
    allowed = {
        "__init__.py",  # names it for scripts
        "core/zoo/importing.py",  # a file that has no name yet
        "core/zoo/load.py",
        "predictors/base.py",  # a network without tiles
        "tasks/adapt/adapting.py",  # learns itself: no segmenter around it
        "tasks/adapt/process.py",
        "tasks/inputs/loading.py",
    }
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and any(alias.name == "load_model" for alias in node.names)
    }
    assert found <= allowed
