"""Which image is seen, and meant by a click."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.on_top import choose_image, covering, images_of, note_on
from napari_cellprompt.layers.previews.mask import preview_metadata

PIXELS = np.zeros((20, 30), np.uint8)


def add(viewer: Any, name: str, **options: Any) -> Any:
    return viewer.add_image(PIXELS, name=name, **options)


def test_overlays_are_no_images_to_work_on(viewer) -> None:
    image = add(viewer, "A")
    viewer.add_image(PIXELS, metadata=preview_metadata())
    assert images_of(viewer) == [image]
    assert covering(viewer, image) is None


def test_an_image_above_hides_one_below(viewer) -> None:
    first, second = add(viewer, "A"), add(viewer, "B")
    assert covering(viewer, first) == second
    assert covering(viewer, second) is None
    viewer.layers.move(1, 0)
    assert (covering(viewer, first), covering(viewer, second)) == (None, first)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"visible": False}, id="switched off"),
        pytest.param({"opacity": 0.0}, id="transparent"),
        pytest.param({"blending": "additive"}, id="a channel"),
        pytest.param({"translate": (100, 100)}, id="elsewhere"),
        pytest.param({"scale": (0.25, 0.25)}, id="a small part"),
    ],
)
def test_what_hides_nothing(viewer, options: dict[str, Any]) -> None:
    first = add(viewer, "A")
    add(viewer, "B", **options)
    assert covering(viewer, first) is None


def test_a_last_axis_that_may_be_colours_is_announced(viewer) -> None:
    colours = np.zeros((40, 30, 3), np.uint8)
    stack = viewer.add_image(colours, rgb=False, name="a")
    said = note_on(viewer, stack)
    assert "'a' is a stack of 40 planes of 3 x 30 pixels" in said and "rgb=True" in said
    assert note_on(viewer, stack, channel_axis=2) == ""
    stack.visible = False
    assert note_on(viewer, viewer.add_image(colours, rgb=True)) == ""
    assert note_on(viewer, viewer.add_image(np.zeros((3, 40, 30)))) == ""


def test_units_count(viewer) -> None:
    first = add(viewer, "A", units=("um", "um"))
    second = add(viewer, "B", units=("nm", "nm"))
    # a thousandth of the length: nothing of A is hidden
    assert covering(viewer, first) is None
    viewer.layers.move(1, 0)
    assert covering(viewer, second) == first


def test_a_switched_off_image_is_not_what_is_seen(viewer) -> None:
    first, second = add(viewer, "A"), add(viewer, "B")
    second.visible = False
    assert covering(viewer, second) == first
    first.visible = False
    assert covering(viewer, second) is None


def test_a_place_under_a_crop(viewer) -> None:
    first = add(viewer, "A")
    crop = viewer.add_image(np.zeros((5, 5), np.uint8), translate=(10, 10))
    view = plane_of(viewer, first)
    assert covering(viewer, first, view=view, at=(12, 12)) == crop
    assert covering(viewer, first, view=view, at=(5, 5)) is None


def test_images_of_more_axes(viewer) -> None:
    plane = add(viewer, "plane")
    stack = viewer.add_image(np.zeros((4, 20, 30), np.uint8), name="stack")
    colour = viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True, name="colour")
    assert covering(viewer, plane) == colour
    colour.visible = False
    assert covering(viewer, plane) == stack


def test_the_newest_image_is_meant(viewer) -> None:
    assert choose_image(viewer, None) is None
    first = add(viewer, "A")
    assert choose_image(viewer, None, [first]) == first
    second = add(viewer, "B")
    assert choose_image(viewer, first, [second]) == second
    aside = add(viewer, "C", translate=(100, 100))
    assert choose_image(viewer, second, [aside]) == aside
    # the user has worked on the one below since
    assert choose_image(viewer, second) == second


def test_of_channels_the_first_is_meant_and_stays(viewer) -> None:
    channels = viewer.add_image(np.zeros((2, 20, 30), np.uint8), channel_axis=0)
    assert choose_image(viewer, None, channels) == channels[0]
    third = add(viewer, "third", blending="additive")
    assert choose_image(viewer, channels[0], [third]) == channels[0]


def test_another_image_is_meant_when_this_one_is_gone(viewer) -> None:
    first, second = add(viewer, "A"), add(viewer, "B")
    viewer.layers.remove(second)
    assert choose_image(viewer, second) == first
