"""The table by which widgets open one another."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from npe2 import PluginManifest

import napari_cellprompt
from napari_cellprompt.widgets.shared.docks import WIDGETS, find_dock, open_dock

PATH = Path(napari_cellprompt.__file__).parent / "napari.yaml"


def test_titles_and_classes_are_those_of_the_manifest() -> None:
    contributions = PluginManifest.from_file(PATH).contributions
    names = {command.id: command.python_name for command in contributions.commands}
    assert {
        widget.display_name: names[widget.command] for widget in contributions.widgets
    } == WIDGETS


@pytest.mark.parametrize("title", WIDGETS)
def test_every_class_of_the_table_is_there(title: str) -> None:
    module, _, name = WIDGETS[title].partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("kind", ["make_napari_viewer", "make_napari_viewer_proxy"])
def test_a_widget_is_opened_once_and_found_unwrapped(
    kind: str, request: pytest.FixtureRequest
) -> None:
    viewer: Any = request.getfixturevalue(kind)()
    assert find_dock(viewer, "Models") is None
    widget = open_dock(viewer, "Models")
    assert open_dock(viewer, "Models") is widget
    module, _, name = WIDGETS["Models"].partition(":")
    assert type(widget) is getattr(import_module(module), name)
