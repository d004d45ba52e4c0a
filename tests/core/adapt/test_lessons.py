from __future__ import annotations

import numpy as np
import pytest
from tests.small_focus import discs

from napari_cellprompt.core.adapt.lessons import (
    Lessons,
    MarkedPlane,
    load_marked,
    save_marked,
)
from napari_cellprompt.core.adapt.settings import AdaptSettings
from napari_cellprompt.core.errors import ImageError


@pytest.mark.parametrize(("objects", "held_out"), [(6, 3), (10, 3), (20, 4)])
def test_a_fifth_and_at_least_three_objects_are_held_out(objects, held_out):
    image, labels = discs(objects)
    lessons = Lessons.divided([MarkedPlane(image, labels)], AdaptSettings())
    assert len(lessons.held_out) == held_out
    assert lessons.learnt == objects - held_out
    hidden = {case.number for case in lessons.held_out}
    [plane] = lessons.planes
    assert not hidden & set(plane.ids.tolist())
    assert not np.isin(plane.labels, list(hidden)).any()


def test_what_is_held_out_depends_on_the_seed_alone():
    image, labels = discs(12)

    def hidden(seed: int) -> list[int]:
        marked = [MarkedPlane(image, labels)]
        lessons = Lessons.divided(marked, AdaptSettings(seed=seed))
        return [case.number for case in lessons.held_out]

    assert hidden(1) == hidden(1)
    assert len({tuple(hidden(seed)) for seed in range(5)}) > 1


def test_an_object_of_a_stack_is_held_out_on_every_plane():
    image, labels = discs(8)
    marked = [MarkedPlane(image, labels, "stack", n) for n in (3, 4, 5, 9)]
    lessons = Lessons.divided(marked, AdaptSettings())
    hidden = {case.number for case in lessons.held_out}
    assert len(hidden) == len(lessons.held_out) == 3
    for plane in lessons.planes:
        assert not hidden & set(plane.ids.tolist())
    # plane 9 has no neighbour
    assert [len(stack.planes) for stack in lessons.stacks] == [3]


def test_too_few_objects_get_a_sentence():
    image, labels = discs(5)
    with pytest.raises(ImageError, match="at least 6 objects to adapt to: there are 5"):
        Lessons.divided([MarkedPlane(image, labels)], AdaptSettings())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((3, 3), np.uint8), "do not fit an image of 60 x 120"),
        (np.full((60, 120), 70000), "at most 65535"),
    ],
)
def test_labels_that_do_not_fit(labels, message):
    image, _ = discs(8)
    with pytest.raises(ImageError, match=message):
        Lessons.divided([MarkedPlane(image, labels)], AdaptSettings())


def test_planes_come_back_from_a_file(tmp_path):
    image, labels = discs(6)
    colour = np.stack([image] * 3, axis=-1)
    marked = [MarkedPlane(image, labels, "a", 2), MarkedPlane(colour, labels)]
    save_marked(tmp_path / "marked.npz", marked)
    for before, after in zip(marked, load_marked(tmp_path / "marked.npz"), strict=True):
        assert (before.series, before.position) == (after.series, after.position)
        assert np.array_equal(before.image, after.image)
        assert np.array_equal(before.labels, after.labels)


@pytest.mark.parametrize(
    "values", [{"seconds": 0}, {"steps": 0}, {"parts": "encoder"}], ids=str
)
def test_settings_that_cannot_be(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        AdaptSettings(**values)
