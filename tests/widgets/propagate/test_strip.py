from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_cellprompt.core.propagate.types import PlaneConfidence
from napari_cellprompt.widgets.propagate.strip import ConfidenceStrip
from napari_cellprompt.widgets.propagate.strip_rows import StripRow, row_text, shade


def known(plane: int, state: Any = "tracked", value: float = 0.9) -> PlaneConfidence:
    return PlaneConfidence(plane, state, value, value, value, 1 - value, value)


@pytest.fixture
def strip(qtbot: Any) -> ConfidenceStrip:
    widget = ConfidenceStrip()
    qtbot.addWidget(widget)
    first = StripRow(1, {2: known(2, "prompted", 1.0), 3: known(3), 4: known(4, "ended")})
    second = StripRow(5, {2: known(2, value=0.0)})
    widget.show_rows([first, second], 10, chosen=1, axis="frame")
    widget.resize(264, widget.sizeHint().height())
    widget.show()
    return widget


def _press(strip: ConfidenceStrip, plane: int, row: int | None = None) -> None:
    place = strip.centre_of(plane, row)
    button, modifier = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mouseClick(strip, button, modifier, QPoint(int(place.x()), int(place.y())))


def _colour(
    strip: ConfidenceStrip, plane: int, row: int | None = None, aside: int = 4
) -> Any:
    """Red, green and blue, beside the middle, where the frame of a plane could be."""
    place = strip.centre_of(plane, row)
    pixel = strip.grab().toImage().pixelColor(int(place.x()) + aside, int(place.y()))
    # Screens of 16 bits round the colours.
    return pytest.approx(pixel.getRgb()[:3], abs=8)


def test_a_click_picks_plane_and_object(strip: ConfidenceStrip) -> None:
    planes: list[int] = []
    objects: list[int] = []
    strip.plane_picked.connect(planes.append)
    strip.object_picked.connect(objects.append)
    _press(strip, 7)
    _press(strip, 0, row=1)
    assert (planes, objects) == ([7, 0], [5])


def test_planes_and_places_agree(strip: ConfidenceStrip) -> None:
    assert [strip.plane_at(strip.centre_of(plane).x()) for plane in range(10)] == [
        *range(10)
    ]
    assert strip.plane_at(3) is None


def test_colours_say_how_sure(strip: ConfidenceStrip) -> None:
    sure, unsure = shade(1.0).getRgb()[:3], shade(0.0).getRgb()[:3]
    assert sure == _colour(strip, 2)
    assert unsure == _colour(strip, 2, row=1)
    # Neither where nothing is known nor where the object ended.
    for plane in (4, 8):
        ground = _colour(strip, plane)
        assert sure != ground
        assert unsure != ground


def test_more_planes_than_pixels(strip: ConfidenceStrip) -> None:
    many = StripRow(1, {plane: known(plane) for plane in range(2000)})
    worst = {1000: known(1000, value=0.0)}
    strip.show_rows(
        [StripRow(1, {**many.planes, **worst}), many], 2000, chosen=1, axis="plane"
    )
    strip.show_current(3)
    assert shade(0.0).getRgb()[:3] == _colour(strip, 1000, 0, aside=0)


def test_shades_run_from_vermillion_to_blue() -> None:
    assert [shade(value).name() for value in (-1, 0, 0.6, 1, 2)] == [
        "#d55e00",
        "#d55e00",
        "#f0e442",
        "#0072b2",
        "#0072b2",
    ]


@pytest.mark.parametrize(
    ("plane", "text"),
    [
        pytest.param(0, "Object 1, frame 0: not looked at yet.", id="unknown"),
        pytest.param(2, "Object 1, frame 2: from your prompts.\nPredicted", id="prompted"),
        pytest.param(4, "Object 1, frame 4: the object ends here.", id="ended"),
    ],
)
def test_tool_tips(strip: ConfidenceStrip, plane: int, text: str) -> None:
    assert row_text(strip.rows[0], plane, "frame").startswith(text)
