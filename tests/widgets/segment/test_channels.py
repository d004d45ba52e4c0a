"""Channels that the model is shown together, as all widgets and sessions see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from npe2 import PluginManager, PluginManifest
from tests.fakes import FakeSegmenter
from tests.widgets.conftest import Desk

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.types import ImageFile, MixedChannel
from napari_cellprompt.io.session_file import read_session, write_session
from napari_cellprompt.layers.composing import kind_of
from napari_cellprompt.layers.images import Pixels
from napari_cellprompt.session.choices import read_choices
from napari_cellprompt.session.saved.describe import describe, methods
from napari_cellprompt.session.saved.images import open_beside, open_image_of
from napari_cellprompt.session.saved.replay import replay
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.tasks.report import Report
from napari_cellprompt.widgets.found.target import target_of
from napari_cellprompt.widgets.propagate.form import Choices
from napari_cellprompt.widgets.propagate.run import read_stack
from napari_cellprompt.widgets.segment.contrast import Pending

LEFT, RIGHT = np.s_[10:30, 10:30], np.s_[10:30, 30:50]
INSIDE = (15.0, 15.0)
Make = Callable[..., Desk]


def halves(dtype: Any = np.uint16) -> tuple[np.ndarray, np.ndarray]:
    """One object, of which each channel shows a half."""
    one, other = np.zeros((2, 60, 80), dtype)
    one[LEFT], other[RIGHT] = 3000, 900
    return one, other


@pytest.fixture
def open_desk(
    make_napari_viewer: Any,
    session: SegmentSession,
    wait: Callable[[Callable[[], bool]], None],
) -> Make:
    def opened(data: Any = None, **options: Any) -> Desk:
        viewer = make_napari_viewer()
        if data is not None:
            viewer.add_image(data, name="cells", **options)
        return Desk(viewer, session, wait)

    return opened


def compose(desk: Desk, *uses: str, **options: Any) -> None:
    """Choose what the channels are, all of them prepared alike."""
    panel = desk.widget.channels
    panel.on.setChecked(False)
    for row, use in zip(panel.rows, uses, strict=True):
        row.choose(replace(row.choice, use=use, **options))
    panel.on.setChecked(True)
    desk.wait(lambda: isinstance(pixels_of(desk), Pixels))
    desk.controller.refresh()


def pixels_of(desk: Desk) -> Any:
    return desk.widget.place.pixels_of(desk.widget.place.chosen.image)


def read(plane: Any) -> np.ndarray:
    return np.asarray(plane.read(0, plane.shape[0], 0, plane.shape[1]))


def test_an_axis_that_is_called_one_of_channels_is_taken_for_one(open_desk: Make) -> None:
    desk = open_desk(np.stack(halves()), axis_labels=("c", "y", "x"))
    desk.viewer.dims.set_current_step(0, 1)
    desk.controller.refresh()
    assert desk.form.channel_axis.value == 0
    assert "The model sees channel 1, the one on screen." in desk.status
    assert [row.title.text() for row in desk.widget.channels.rows] == [
        "channel 0",
        "channel 1",
    ]


def test_planes_that_may_be_channels_are_asked_about(open_desk: Make) -> None:
    desk = open_desk(np.stack(halves()))
    desk.controller.refresh()
    assert "choose 0 as Channel axis" in desk.status
    desk.form.channel_axis.value = 0
    desk.controller.refresh()
    assert "the one on screen" in desk.status


def test_an_object_of_two_channels_is_one_object_on_both(open_desk: Make) -> None:
    desk = open_desk(np.stack(halves()), axis_labels=("c", "y", "x"))
    compose(desk, "red", "green")
    assert "The model sees channel 0 as red, channel 1 as green." in desk.status
    assert not desk.form.channel.enabled
    assert desk.object_at(INSIDE, (0,)) == 1
    expected = np.zeros((60, 80), bool)
    expected[10:30, 10:50] = True
    np.testing.assert_array_equal(desk.labels == 1, expected)
    desk.viewer.dims.set_current_step(0, 1)
    desk.controller.refresh()
    np.testing.assert_array_equal(desk.labels == 1, expected)
    desk.widget.channels.on.setChecked(False)
    assert desk.form.channel.enabled
    assert desk.widget.place.composition == ()


def test_all_widgets_see_the_same_picture(open_desk: Make) -> None:
    one, other = (np.stack([part] * 3) for part in halves())
    image = np.stack([one, other], axis=1)
    image[2] //= 2
    desk = open_desk(image, axis_labels=("z", "c", "y", "x"))
    desk.viewer.dims.set_current_step(0, 2)
    compose(desk, "blue", "grey", invert=True)
    place = desk.widget.place
    seen = read(desk.controller._source)
    assert tuple(seen[20, 20]) == (255, 255, 255)
    assert tuple(seen[20, 40]) != tuple(seen[20, 20])
    for whole in (False, True):
        target = target_of(desk.viewer, place, whole_stack=whole)
        number = target.number_of(target.view)
        np.testing.assert_array_equal(read(target.planes[number]), seen)
        assert target.planes[number].key == desk.controller.state.plane
    desk.click(INSIDE, (2, 0))
    desk.see()
    axis = target.stack.axis
    choices = Choices("screen", "", axis, "both", "all", 0, 2)
    stack, _ = read_stack(desk.viewer, desk.controller, choices)
    np.testing.assert_array_equal(read(stack.plane(2)), seen)
    assert not np.array_equal(read(stack.plane(0)), seen)
    labels = desk.viewer.add_labels(np.zeros((3, 1, 60, 80), int), name="given")
    labels.data[2, 0, 12:28, 12:48] = 4
    desk.widget.refining.all.start(labels)
    data, arguments = desk.widget.refining.all._job.pixels
    np.testing.assert_array_equal(data[2, 0, 0:60, 0:80, 0:3], seen)
    assert arguments["channels"] == pixels_of(desk).channels
    desk.wait(lambda: not desk.widget.refining.all.running)


def test_layers_on_one_grid_are_channels_and_others_are_told_of(open_desk: Make) -> None:
    desk = open_desk(halves()[0])
    desk.viewer.add_image(halves()[1], name="membrane", blending="additive")
    desk.viewer.add_image(np.zeros((30, 40)), name="small", visible=False)
    desk.viewer.add_image(np.zeros((60, 80)), name="moved", translate=(0, 5), visible=False)
    panel = desk.widget.channels
    assert [row.title.text() for row in panel.rows] == ["cells", "membrane"]
    assert "'small' has the shape (30, 40)" in panel.line.text()
    assert "'moved' do not lie on those of 'cells'" in panel.line.text()
    compose(desk, "red", "grey")
    first = pixels_of(desk)
    assert [one.image is None for one in first.channels] == [True, False]
    assert first.channels[1].image.name == "membrane"
    desk.object_at(INSIDE)
    assert np.count_nonzero(desk.labels == 1) == 20 * 40
    # other pixels of a channel are another picture
    desk.viewer.layers["membrane"].data = halves()[1] + 1
    desk.wait(lambda: isinstance(pixels_of(desk), Pixels))
    assert pixels_of(desk) != first


def test_a_channel_that_was_removed_or_moved_is_told_of(open_desk: Make) -> None:
    desk = open_desk(halves()[0])
    membrane = desk.viewer.add_image(halves()[1], name="membrane", blending="additive")
    compose(desk, "red", "green")
    membrane.translate = (3, 0)
    desk.controller.refresh()
    assert "'membrane' do not lie on those of 'cells'" in desk.status
    membrane.translate = (0, 0)
    desk.viewer.layers.remove(membrane)
    desk.controller.refresh()
    assert "was removed" in desk.status
    with pytest.raises(ImageError, match="was removed"):
        target_of(desk.viewer, desk.widget.place, whole_stack=False)
    desk.widget.channels.on.setChecked(False)
    desk.controller.refresh()
    assert "removed" not in desk.status
    assert desk.object_at(INSIDE) == 1


def test_nothing_is_read_on_the_thread_of_the_window(
    open_desk: Make, fake: FakeSegmenter
) -> None:
    import threading

    readers: set[int] = set()
    parts = np.stack([np.stack(halves())] * 4)

    def load(block_info: Any = None) -> np.ndarray:
        readers.add(threading.get_ident())
        (z, _), (c, _) = block_info[None]["array-location"][:2]
        return parts[z : z + 1, c : c + 1]

    image = da.map_blocks(load, chunks=((1,) * 4, (1,) * 2, (60,), (80,)), dtype=np.uint16)
    desk = open_desk(image, axis_labels=("z", "c", "y", "x"), contrast_limits=(0, 3000))
    desk.viewer.layers["cells"].visible = False
    desk.wait(lambda: desk.controller.state is not None)
    readers.clear()
    panel = desk.widget.channels
    panel.on.setChecked(True)
    assert isinstance(pixels_of(desk), Pending)
    desk.wait(lambda: isinstance(pixels_of(desk), Pixels))
    assert readers
    assert threading.get_ident() not in readers


def test_a_picture_is_live(open_desk: Make) -> None:
    desk = open_desk(np.stack(halves()), axis_labels=("c", "y", "x"))
    compose(desk, "red", "off")
    desk.controller.show_model_view()
    view = desk.controller.model_view
    desk.wait(lambda: view.layer is not None)
    before = view.layer
    assert tuple(before.data[0, 20, 20]) == (255, 0, 0)
    row = desk.widget.channels.rows[0]
    row.invert.setChecked(True)
    desk.wait(lambda: view.layer is not None and view.layer != before)
    assert tuple(view.layer.data[0, 20, 20]) == (0, 0, 0)
    assert tuple(view.layer.data[0, 50, 5]) == (255, 0, 0)
    assert "What the model sees" in desk.viewer.layers


def test_choices_are_there_at_the_next_image_of_the_kind(open_desk: Make) -> None:
    desk = open_desk(np.stack(halves()), axis_labels=("c", "y", "x"))
    compose(desk, "grey", "off", smooth=1.5, low=2.0)
    assert list(read_choices().channels) == ["2 channels"]
    first = desk.viewer.layers["cells"]
    second = desk.viewer.add_image(
        np.stack(halves()), name="next", axis_labels=("c", "y", "x")
    )
    desk.wait(lambda: desk.widget.place.chosen.image == second)
    choice = desk.widget.channels.rows[0].choice
    assert (choice.use, choice.smooth, choice.low) == ("grey", 1.5, 2.0)
    # but another image is not shown otherwise than it was before
    assert not desk.widget.channels.on.isChecked()
    assert desk.widget.place.composition == ()
    desk.form.image.value = first
    assert desk.widget.channels.on.isChecked()
    assert len(desk.widget.place.composition) == 1
    assert kind_of(desk.viewer, first, desk.widget.channels.choices) == "2 channels"


def kept(desk: Desk) -> Any:
    """The session in its file, and where that is."""
    keeper = desk.widget.keeper
    desk.wait(lambda: keeper._book is not None and keeper._book.entry is not None)
    for _ in range(2):
        keeper.save()
        keeper._book.autosave.wait()
    return read_session(keeper._book.autosave.path), keeper._book.autosave.path


def test_a_session_goes_on_and_replays_with_its_channels(
    open_desk: Make, wait: Any, session: SegmentSession
) -> None:
    image = np.stack(halves())
    desk = open_desk(image, axis_labels=("c", "y", "x"))
    compose(desk, "red", "green", smooth=0.5)
    desk.object_at(INSIDE, (0,))
    found, _ = kept(desk)
    [step] = found.steps
    assert [one.colour for one in step.plane.channels] == ["red", "green"]
    assert step.plane.channel_axis == 0
    told = "cells channel 0 as red (0 to 3000, smoothed by 0.5 pixels), cells channel 1"
    assert any(told in line for line in describe(found))
    assert told in methods(found)
    result = replay(found, image=image, segmenter_of=lambda number: FakeSegmenter())
    assert (result.asked, result.differing) == (1, [])
    np.testing.assert_array_equal(result.labels[0], desk.labels)
    desk.widget.shut_down(remove_layers=False)
    again = open_desk(image)
    wait(lambda: again.widget.offer.question.text() != "")
    again.widget.keeper.go_on()
    wait(lambda: again.widget.channels.on.isChecked())
    assert again.form.channel_axis.value == 0
    assert [one.smooth for one in again.widget.place.composition] == [0.5, 0.5]


def test_a_session_of_several_layers_replays_where_all_files_are(
    open_desk: Make, npe2pm: PluginManager, tmp_path: Any
) -> None:
    npe2pm.register(PluginManifest.from_distribution("napari"))
    paths = [tmp_path / "cells.tif", tmp_path / "membrane.tif"]
    for path, part in zip(paths, halves(), strict=True):
        tifffile.imwrite(path, part)
    desk = open_desk()
    desk.viewer.open(paths[0], plugin="napari")
    desk.viewer.open(paths[1], plugin="napari", blending="additive")
    desk.wait(lambda: len(desk.widget.channels.rows) == 2)
    desk.form.image.value = desk.viewer.layers["cells"]
    compose(desk, "red", "blue")
    desk.object_at(INSIDE)
    found, _ = kept(desk)
    [step] = found.steps
    assert step.plane.channels[1].image.path == str(paths[1])
    write_session(tmp_path / "s.json", found)
    found = read_session(tmp_path / "s.json")
    said: list[str] = []
    report = Report(say=said.append)
    image = open_image_of(found, None, tmp_path)
    beside = open_beside(found, tmp_path, report)
    fake = FakeSegmenter()
    result = replay(found, image=image, beside=beside, segmenter_of=lambda _: fake)
    assert (result.asked, result.differing, said) == (1, [], [])
    paths[1].unlink()
    assert open_beside(found, tmp_path, report) == {}
    assert "'membrane', of which the model saw a channel, is not there" in said[0]
    result = replay(found, image=image, beside={}, segmenter_of=lambda _: fake)
    assert result.asked == 0
    np.testing.assert_array_equal(result.labels[0], desk.labels)


def test_the_line_of_text_does_not_flicker_between_clicks(open_desk: Make) -> None:
    desk = open_desk(np.stack(halves()), axis_labels=("c", "y", "x"))
    compose(desk, "red", "green")
    assert "The model sees" in desk.status
    desk.click(INSIDE, (0,))
    desk.see()
    told: list[str] = []
    desk.controller.changed.connect(lambda: told.append(desk.controller.status))
    desk.controller.refresh()
    assert told == []
    assert "The model sees" not in desk.status


def test_one_colour_of_a_picture(open_desk: Make) -> None:
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[LEFT] = (0, 200, 40)
    picture[RIGHT] = (200, 0, 40)
    desk = open_desk(picture, rgb=True)
    titles = [row.title.text() for row in desk.widget.channels.rows]
    assert titles == ["red", "green", "blue"]
    compose(desk, "off", "grey", "off")
    assert not desk.controller._source.is_rgb
    desk.object_at(INSIDE)
    assert np.count_nonzero(desk.labels == 1) == 20 * 20
    compose(desk, "off", "off", "green")
    target = target_of(desk.viewer, desk.widget.place, whole_stack=False)
    pixels = read(target.planes[0])
    assert tuple(pixels[20, 40]) == (0, 255, 0)
    assert tuple(pixels[50, 40]) == (0, 0, 0)


def test_a_channel_of_a_session_that_is_not_open_is_asked_for(open_desk: Make) -> None:
    desk = open_desk(halves()[0])
    panel = desk.widget.channels
    panel.restore([{"layer": "cells", "use": "red"}, {"layer": "membrane", "use": "green"}])
    assert not panel.on.isChecked()
    assert "further channels ('membrane')" in panel.line.text()
    assert desk.widget.place.composition == ()
    with pytest.raises(ImageError, match="Open 'membrane' first"):
        desk.widget.place.composer.again(
            desk.widget.place.chosen.image,
            [
                MixedChannel(
                    "red",
                    (0.0, 1.0),
                    image=ImageFile("f", (60, 80), "uint16", name="membrane"),
                )
            ],
        )
