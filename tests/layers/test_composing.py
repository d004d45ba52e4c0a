"""Which channels are offered, and choices as they are kept and read again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.layers.composing import (
    ChannelChoice,
    kind_of,
    layer_of,
    likely_channel_axis,
    may_be_channels,
    offered,
    read_rows,
    title_of,
    unfit,
    written_rows,
)
from napari_cellprompt.layers.grids import other_grid

SHAPE = (20, 30)


@pytest.fixture
def pair(viewer: Any) -> tuple[Image, Image]:
    return (
        viewer.add_image(np.zeros(SHAPE), name="one"),
        viewer.add_image(np.zeros(SHAPE), name="two"),
    )


def test_channels_of_an_axis(viewer: Any) -> None:
    image = viewer.add_image(np.zeros((4, 3, *SHAPE)))
    rows = offered(viewer, image, 1, (1.0, 98.0))
    assert [row.number for row in rows] == [0, 1, 2]
    assert {(row.low, row.high, row.use) for row in rows} == {(1.0, 98.0, "off")}
    assert kind_of(viewer, image, rows) == "3 channels"


def test_channels_of_layers(viewer: Any, pair: tuple[Image, Image]) -> None:
    one, two = pair
    viewer.add_image(np.zeros((*SHAPE, 3), np.uint8), rgb=True, name="colours")
    viewer.add_labels(np.zeros(SHAPE, int))
    rows = offered(viewer, one, None)
    assert [title_of(viewer, one, row) for row in rows] == ["one", "two"]
    assert [layer_of(viewer, one, row) for row in rows] == [one, two]
    # whichever of them is the image
    assert kind_of(viewer, one, rows) == kind_of(viewer, two, offered(viewer, two, None))
    assert unfit(viewer, one, None) == []
    viewer.layers.remove(two)
    with pytest.raises(ImageError, match="was removed"):
        layer_of(viewer, one, rows[1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"scale": (1, 1.01)}, "", id="less than half a pixel in all"),
        pytest.param({"scale": (1, 1.1)}, "same scale and translation", id="scale"),
        pytest.param({"translate": (0, 0.4)}, "", id="moved by less than half a pixel"),
        pytest.param({"translate": (1, 0)}, "same scale and translation", id="moved"),
        pytest.param({"rotate": 5}, "same scale and translation", id="turned"),
        pytest.param({"units": ("um", "um")}, "same units", id="units"),
    ],
)
def test_grids_that_are_others(options: dict[str, Any], said: str) -> None:
    image = Image(np.zeros(SHAPE), name="one")
    problem = other_grid(image, Image(np.zeros(SHAPE), name="two", **options))
    assert said in problem
    assert bool(problem) == bool(said)


def test_another_shape_is_another_grid() -> None:
    image = Image(np.zeros(SHAPE), name="one")
    problem = other_grid(image, Image(np.zeros((2, *SHAPE)), name="two"))
    assert "'two' has the shape (2, 20, 30), 'one' has (20, 30)" in problem


def test_choices_are_read_as_they_were_written(
    viewer: Any, pair: tuple[Image, Image]
) -> None:
    one, two = pair
    rows = offered(viewer, one, None)
    chosen = [
        replace(rows[0], use="grey", invert=True, smooth=2.5),
        replace(rows[1], use="red", low=1.0, high=90.0),
    ]
    kept = written_rows(viewer, one, chosen)
    assert [fields["layer"] for fields in kept] == ["one", "two"]
    assert read_rows(viewer, one, rows, kept) == chosen
    # of the other layer they are the same ones, the other way round
    back = read_rows(viewer, two, offered(viewer, two, None), kept)
    assert [(row.layer == "", row.use) for row in back] == [(True, "red"), (False, "grey")]


@pytest.mark.parametrize(
    "fields",
    [
        {"use": "purple"},
        {"use": "red", "low": 60, "high": 40},
        {"use": "red", "low": "dark"},
        {"use": "red", "smooth": -1},
        {"use": "red", "high": 200},
        {"use": ["red"]},
    ],
    ids=str,
)
def test_what_is_damaged_is_left_out(viewer: Any, fields: dict[str, Any]) -> None:
    image = viewer.add_image(np.zeros((2, *SHAPE)))
    rows = offered(viewer, image, 0)
    assert read_rows(viewer, image, rows, [{"number": 0, "layer": "", **fields}]) == rows


def test_what_a_layer_calls_its_axes_counts(viewer: Any) -> None:
    named = Image(np.zeros((3, *SHAPE)), axis_labels=("Channel", "y", "x"))
    assert likely_channel_axis(named) == 0
    assert may_be_channels(named) == ""
    depth = Image(np.zeros((3, *SHAPE)), axis_labels=("z", "y", "x"))
    assert likely_channel_axis(depth) is None
    assert may_be_channels(depth) == ""
    unnamed = Image(np.zeros((3, *SHAPE)), name="it")
    assert likely_channel_axis(unnamed) is None
    assert "'it' is taken for a stack of 3 planes" in may_be_channels(unnamed)
    assert may_be_channels(Image(np.zeros((30, *SHAPE)))) == ""
    # an axis of the plane holds no channels
    odd = Image(np.zeros((3, *SHAPE)), axis_labels=("z", "y", "c"))
    assert likely_channel_axis(odd) is None


def test_a_channel_that_is_off_has_no_colour() -> None:
    assert ChannelChoice(use="blue").colour == "blue"
    with pytest.raises(ValueError, match="not in use"):
        _ = ChannelChoice().colour
