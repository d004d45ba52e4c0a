from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.widgets.propagate.form import PropagateForm, parse_ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [("3", [3]), ("1, 4-7", [1, 4, 5, 6, 7]), ("7 2;2", [2, 7]), ("1 - 3", [1, 2, 3])],
)
def test_numbers_of_objects(text: str, ids: list[int]) -> None:
    assert parse_ids(text) == ids


@pytest.mark.parametrize("text", ["", "one", "3-", "0", "7-3", "1.5", "1-999999999"])
def test_what_names_no_objects(text: str) -> None:
    with pytest.raises(PromptError, match="numbers"):
        parse_ids(text)


@pytest.fixture
def form(qtbot: Any) -> Any:
    form = PropagateForm()
    for part in (form.top, form.more):
        qtbot.addWidget(part)
    yield form
    form.close()


def test_the_axis_is_offered_with_its_length(form: PropagateForm) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((5, 7, 8, 9), dtype=np.uint8), axis_labels=("t", "z", "y", "x")
    )
    form.offer(image, plane_of(viewer, image))
    assert [axis.name for axis in form.axis.choices] == ["z", "t"]
    assert (form.axis.value.name, form.last.value, form.last.max) == ("z", 6, 6)
    form.axis.value = next(axis for axis in form.axis.choices if axis.name == "t")
    form.axis_changed()
    assert (form.first.value, form.last.value) == (0, 4)
    # Sliders move; what was chosen stays.
    form.offer(image, plane_of(viewer, image))
    assert form.axis.value.name == "t"
    form.offer(None, None)
    assert form.axis.value is None


def test_only_what_matters_is_shown(form: PropagateForm) -> None:
    assert form.ids.native.isHidden()
    assert form.first.native.isHidden()
    form.what.value, form.span.value = "ids", "from"
    assert not form.ids.native.isHidden()
    assert not form.last.native.isHidden()


def test_stop_criteria_and_memory(form: PropagateForm) -> None:
    usual = form.settings
    assert (usual.stop_object_score, usual.stop_area_ratio, usual.stop_patience) == (
        0.5,
        0.1,
        None,
    )
    assert usual.track.max_memories == 7
    form.memory.value, form.object_score.value, form.geometry.value = "fastest", 0.25, "roi"
    chosen = form.settings
    assert (chosen.geometry, chosen.stop_object_score) == ("roi", 0.25)
    assert (chosen.track.max_memories, chosen.track.pool_older) == (2, True)
