from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Points, Shapes
from napari.utils.key_bindings import coerce_keybinding

from napari_cellprompt.widgets.shared.keys import KEYS, KeyBinder, key_table

SAME_IN_LABELS = {"undo", "redo"}


@pytest.fixture
def actions() -> dict[str, Mock]:
    return {key.action: Mock(side_effect=lambda: [None]) for key in KEYS}


def test_no_key_is_taken_in_labels_layers() -> None:
    taken = set(Labels(np.zeros((2, 2), dtype=int)).class_keymap)
    for key in KEYS:
        if key.action not in SAME_IN_LABELS:
            assert coerce_keybinding(key.key) not in taken, key


def test_keys_reach_the_actions_from_viewer_and_layers(actions: dict[str, Mock]) -> None:
    viewer = ViewerModel()
    layers = [Points(np.empty((0, 2))), Shapes()]
    binder = KeyBinder(actions)
    binder.bind(viewer, layers)
    for key in KEYS:
        for target in (viewer, *layers):
            outcome = target.keymap[coerce_keybinding(key.key)](target)
            if key.hold:
                # napari goes on with it when the key is let go
                assert list(outcome) == [None]
        assert actions[key.action].call_count == 3


def test_unbind_gives_keys_back(actions: dict[str, Mock]) -> None:
    viewer, points = ViewerModel(), Points(np.empty((0, 2)))
    mine = Mock()
    viewer.bind_key("A", mine)
    binder = KeyBinder(actions)
    binder.bind(viewer, [points])
    binder.unbind()
    assert list(viewer.keymap.values()) == [mine]
    assert points.keymap == {}


def test_a_key_that_someone_else_took_stays_theirs(actions: dict[str, Mock]) -> None:
    viewer = ViewerModel()
    binder = KeyBinder(actions)
    binder.bind(viewer, [])
    theirs = Mock()
    viewer.bind_key("Q", theirs, overwrite=True)
    binder.unbind()
    assert list(viewer.keymap.values()) == [theirs]


def test_binding_other_layers_lets_go_of_the_first(actions: dict[str, Mock]) -> None:
    viewer = ViewerModel()
    first, second = Points(np.empty((0, 2))), Points(np.empty((0, 2)))
    binder = KeyBinder(actions)
    binder.bind(viewer, [first])
    binder.bind(viewer, [second])
    assert first.keymap == {}
    assert len(second.keymap) == len(KEYS)


def test_table_shows_every_key() -> None:
    shown = [key for key, _ in key_table()]
    assert shown[:2] == ["Click", "Shift+click"]
    assert {"A", "Q", "T", "N", "G", "Ctrl+Z"} <= set(shown)
