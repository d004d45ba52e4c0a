from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests.widgets.conftest import FIRST, SECOND, Desk, blobs, paint

from napari_cellprompt.core.errors import SaveError
from napari_cellprompt.io.session_file import read_session
from napari_cellprompt.session.objects import ObjectClass
from napari_cellprompt.session.saved import autosave
from napari_cellprompt.session.saved.autosave import data_folder
from napari_cellprompt.session.saved.replay import stored_labels
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.widgets.segment import widget


@pytest.fixture
def desk(
    make_napari_viewer: Any,
    session: SegmentSession,
    wait: Callable[[Callable[[], bool]], None],
) -> Desk:
    viewer = make_napari_viewer()
    viewer.add_image(np.stack([blobs(), blobs()]), name="cells", scale=(2.0, 0.5, 0.5))
    return Desk(viewer, session, wait)


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notifications: the status line may have gone on to something else by now."""
    told: list[str] = []
    monkeypatch.setattr(widget, "show_warning", told.append)
    return told


def kept(desk: Desk) -> Any:
    """The session in its file, once all that was done is in it."""
    keeper = desk.widget.keeper
    desk.wait(lambda: keeper._book is not None and keeper._book.entry is not None)
    book = keeper._book
    for _ in range(2):
        # the second one after the fingerprint of the model
        keeper.save()
        assert book.autosave is not None
        book.autosave.wait()
    return read_session(book.autosave.path)


def another_day(desk: Desk, make: Any, session: SegmentSession) -> Desk:
    """A new window with the same image."""
    image = desk.viewer.layers["cells"]
    data, scale = image.data.copy(), image.scale
    desk.widget.shut_down(remove_layers=False)
    viewer = make()
    viewer.add_image(data, name="cells", scale=scale)
    again = Desk(viewer, session, desk.wait)
    return again


def test_what_was_accepted_undone_and_painted_is_in_the_file(desk: Desk) -> None:
    desk.object_at(FIRST, (0,))
    desk.object_at(SECOND, (0,))
    desk.controller.undo()
    paint(desk.widget, np.s_[1, 2:5, 3:9], 9)
    found = kept(desk)
    told = [getattr(step, "what", step.kind) for step in found.steps]
    # the brush may have been seen together with the undo, or after it
    assert [word for word in told if word != "brush"] == ["accept", "accept", "undo"]
    accepted = found.steps[0].objects[0]
    assert accepted.prompts.points == (FIRST,)
    assert (accepted.candidate, found.steps[0].plane.index) == (0, (0,))
    assert found.models[0].name == desk.controller.model.name
    assert [
        entry.id
        for entry in found.objects
        if "segment" == entry.record.get("source", "segment")
    ] == [1]
    assert np.array_equal(stored_labels(found)[0], desk.labels)
    assert found.layers[0].scale == (2.0, 0.5, 0.5)


def test_nothing_is_written_before_something_is_done(desk: Desk) -> None:
    keeper = desk.widget.keeper
    desk.wait(lambda: keeper._book.entry is not None)
    keeper.save()
    assert keeper._book.autosave is None
    assert not list(data_folder().glob("*.cellprompt*.json"))


def test_the_next_day_goes_on(
    desk: Desk, make_napari_viewer: Any, session: SegmentSession, thread: Any, fake: Any
) -> None:
    desk.object_at(FIRST, (0,))
    desk.click(SECOND, (1,))
    before, labels = kept(desk), desk.labels.copy()
    fresh = SegmentSession(thread=thread, loader=fake.load)
    again = another_day(desk, make_napari_viewer, fresh)
    bar = again.widget.offer
    again.wait(lambda: bar.asking)
    assert "1 object, 1 prompt" in bar.question.text()
    assert len(again.viewer.layers) <= 3  # nothing is brought back before it is wanted
    bar.go_on.click()
    again.wait(lambda: again.widget.place.chosen.labels is not None)
    assert not bar.asking
    assert np.array_equal(again.labels, labels)
    assert np.allclose(again.widget.place.chosen.labels.scale, (2.0, 0.5, 0.5))
    points = again.widget.place.chosen.points
    assert points.data.tolist() == [[1.0, SECOND[1], SECOND[0]]]
    store = again.widget.place.acceptor.store(again.widget.place.chosen.labels)
    assert store.get(1).planes[0].prompts.points == (FIRST,)
    assert again.viewer.dims.point[0] == 2.0  # the plane of the click: 1, 2 apart
    # what came from the file is no news
    assert [step.kind for step in kept(again).steps] == ["accept"]
    again.viewer.dims.set_point(0, 2.0)
    again.see()
    again.widget.accept()
    after = kept(again)
    assert after.steps[: len(before.steps)] == before.steps
    assert after.steps[-1].objects[0].id == 2
    assert np.array_equal(stored_labels(after)[0], again.labels)
    assert len(list(data_folder().glob("*.cellprompt*.json"))) == 1


def test_starting_anew_leaves_the_session_of_before(
    desk: Desk, make_napari_viewer: Any, thread: Any, fake: Any
) -> None:
    desk.object_at(FIRST, (0,))
    before = kept(desk)
    path = desk.widget.keeper._book.autosave.path
    content = path.read_bytes()
    fresh = SegmentSession(thread=thread, loader=fake.load)
    again = another_day(desk, make_napari_viewer, fresh)
    again.wait(lambda: again.widget.offer.asking)
    again.widget.offer.anew.click()
    assert not again.widget.offer.asking
    again.object_at(SECOND, (0,))
    after = kept(again)
    assert path.read_bytes() == content
    assert after.steps[0].objects[0].prompts != before.steps[0].objects[0].prompts
    assert len(list(data_folder().glob("*.cellprompt*.json"))) == 2


def test_work_before_the_answer_goes_to_a_file_of_its_own(
    desk: Desk, make_napari_viewer: Any, thread: Any, fake: Any
) -> None:
    desk.object_at(FIRST, (0,))
    kept(desk)
    path = desk.widget.keeper._book.autosave.path
    content = path.read_bytes()
    fresh = SegmentSession(thread=thread, loader=fake.load)
    again = another_day(desk, make_napari_viewer, fresh)
    again.wait(lambda: again.widget.offer.asking)
    again.object_at(SECOND, (0,))
    kept(again)
    assert again.widget.keeper._book.autosave.path != path
    assert path.read_bytes() == content


def test_two_windows_of_an_image_have_two_files(
    desk: Desk, make_napari_viewer: Any, thread: Any, fake: Any, warned: list[str]
) -> None:
    desk.object_at(FIRST, (0,))
    kept(desk)
    viewer = make_napari_viewer()
    viewer.add_image(desk.viewer.layers["cells"].data, name="cells")
    fresh = SegmentSession(thread=thread, loader=fake.load)
    other = Desk(viewer, fresh, desk.wait)
    other.wait(lambda: any("another viewer" in text for text in warned))
    other.object_at(SECOND, (0,))
    kept(other)
    assert other.widget.keeper._book.autosave.path != desk.widget.keeper._book.autosave.path


@pytest.mark.parametrize("content", ["", '{"format": "cellprompt session"', "[1, 2]"])
def test_a_file_that_cannot_be_read_is_left_as_it_is(
    desk: Desk,
    make_napari_viewer: Any,
    thread: Any,
    fake: Any,
    content: str,
    warned: list[str],
) -> None:
    desk.object_at(FIRST, (0,))
    kept(desk)
    path = Path(desk.widget.keeper._book.autosave.path)
    desk.widget.shut_down(remove_layers=False)
    path.write_text(content)
    viewer = make_napari_viewer()
    viewer.add_image(desk.viewer.layers["cells"].data, name="cells")
    fresh = SegmentSession(thread=thread, loader=fake.load)
    again = Desk(viewer, fresh, desk.wait)
    again.wait(lambda: any("left as it is" in text for text in warned))
    again.object_at(SECOND, (0,))
    kept(again)
    assert path.read_text() == content


def test_an_undo_of_the_layer_and_a_brush_are_found(desk: Desk) -> None:
    desk.object_at(FIRST, (0,))
    kept(desk)
    labels = desk.widget.place.chosen.labels
    labels.undo()
    kept(desk)
    labels.data[1, 4:7, 4:7] = 5
    labels.refresh()
    found = kept(desk)
    assert found.objects == ()
    assert np.array_equal(stored_labels(found)[0], labels.data)


def test_the_layer_says_where_its_objects_come_from(desk: Desk) -> None:
    desk.object_at(FIRST, (0,))
    found = kept(desk)
    labels = desk.widget.place.chosen.labels
    desk.wait(lambda: "provenance" in labels.metadata.get("napari-cellprompt", {}))
    facts = labels.metadata["napari-cellprompt"]["provenance"]
    assert facts["fingerprint"] == found.image.fingerprint
    assert Path(facts["session"]).is_file()
    assert json.dumps(facts)


def test_a_widget_that_is_opened_again_goes_on_by_itself(
    desk: Desk, thread: Any, fake: Any
) -> None:
    desk.object_at(FIRST, (0,))
    kept(desk)
    path = desk.widget.keeper._book.autosave.path
    labels = desk.widget.place.chosen.labels
    desk.wait(lambda: "provenance" in labels.metadata.get("napari-cellprompt", {}))
    desk.viewer.window.remove_dock_widget(desk.dock)
    fresh = SegmentSession(thread=thread, loader=fake.load)
    again = Desk(desk.viewer, fresh, desk.wait)
    keeper = again.widget.keeper
    again.wait(lambda: keeper._book is not None and keeper._book.autosave is not None)
    assert not again.widget.offer.asking
    assert again.widget.place.acceptor.store(labels).get(1) is not None
    again.object_at(SECOND, (0,))
    found = kept(again)
    assert again.widget.keeper._book.autosave.path == path
    assert np.array_equal(stored_labels(found)[0], again.labels)


def test_names_classes_and_states_come_back(
    desk: Desk, make_napari_viewer: Any, thread: Any, fake: Any
) -> None:
    desk.object_at(FIRST, (0,))
    labels = desk.widget.place.chosen.labels
    store = desk.widget.place.acceptor.store(labels)
    store.set_classes([ObjectClass(1, "neuron", "#ff0000")])
    known = store.get(1)
    named = replace(known, name="the first", class_name="neuron", state="verified")
    store.amend({1: named})
    kept(desk)
    fresh = SegmentSession(thread=thread, loader=fake.load)
    again = another_day(desk, make_napari_viewer, fresh)
    again.wait(lambda: again.widget.offer.asking)
    again.widget.offer.go_on.click()
    again.wait(lambda: again.widget.place.chosen.labels is not None)
    back = again.widget.place.acceptor.store(again.widget.place.chosen.labels)
    assert back.classes == (ObjectClass(1, "neuron", "#ff0000"),)
    found = back.get(1)
    assert (found.name, found.class_name, found.state) == (
        "the first",
        "neuron",
        "verified",
    )


def test_a_click_that_is_taken_back_is_no_step(desk: Desk) -> None:
    desk.object_at(FIRST, (0,))
    desk.click(SECOND, (0,))
    desk.widget.undo()
    assert [step.kind for step in kept(desk).steps] == ["accept"]


def test_an_exported_file_is_noted_and_says_where_it_comes_from(
    desk: Desk, tmp_path: Path
) -> None:
    desk.object_at(FIRST, (0,))
    session = kept(desk)
    labels = desk.widget.place.chosen.labels
    desk.wait(lambda: "provenance" in labels.metadata.get("napari-cellprompt", {}))
    path = tmp_path / "labels.tif"
    desk.widget.exporter.write(path, labels, desk.widget.place.chosen.image)
    book = desk.widget.keeper._book
    desk.wait(lambda: bool(book.exports))
    (entry,) = kept(desk).exports
    assert (entry.path, entry.steps) == (str(path), 1)
    with tifffile.TiffFile(path) as file:
        facts = json.loads(file.imagej_metadata["Info"])["napari-cellprompt"]
    assert facts["fingerprint"] == session.image.fingerprint
    assert facts["session"] == book.autosave.path.name
    assert facts["objects"] == 1


def test_a_file_that_cannot_be_written_is_told_of_and_tried_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.object_at(FIRST, (0,))
    kept(desk)
    keeper, real = desk.widget.keeper, autosave.write_session

    def full(*arguments: Any, **options: Any) -> Path:
        raise SaveError("There is no space left.")

    told: list[str] = []
    monkeypatch.setattr(keeper, "_tell", told.append)
    monkeypatch.setattr(autosave, "write_session", full)
    desk.object_at(SECOND, (0,))
    keeper.save()
    # the timer may have been first
    desk.wait(lambda: any("no space left" in text for text in told))
    monkeypatch.setattr(autosave, "write_session", real)
    keeper._book.not_before = 0.0  # 30 s later
    assert [step.kind for step in kept(desk).steps] == ["accept", "accept"]


def test_two_thousand_objects_do_not_stop_the_window(desk: Desk) -> None:
    desk.object_at(FIRST, (0,))
    kept(desk)
    place, keeper = desk.widget.place, desk.widget.keeper
    store = place.acceptor.store(place.chosen.labels)
    first = store.get(1)
    store.amend({number: replace(first, id=number) for number in range(2, 2001)})
    kept(desk)
    took = []
    for number in (2001, 2002, 2003):
        # one more is what a click costs; the best of three, on a busy machine
        store.amend({number: replace(first, id=number)})
        keeper.longest = 0.0
        found = kept(desk)
        took.append(keeper.longest)
    assert len(found.objects) == 2003
    assert 0 < min(took) < 0.05
