"""Doing the steps of a session again gives what the layer holds, whatever was done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests.fakes import FakeSegmenter

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.fingerprint import content_fingerprint
from napari_cellprompt.core.types import CroppedMask, Prompts
from napari_cellprompt.io.session_file import SessionFileError, parse_session, write_session
from napari_cellprompt.io.session_masks import pack_mask
from napari_cellprompt.io.session_types import (
    Accept,
    AcceptedObject,
    Change,
    ImageEntry,
    LayerEntry,
    ModelEntry,
    Place,
    PlaneEntry,
    Session,
)
from napari_cellprompt.session.canvas import Canvas
from napari_cellprompt.session.saved.recording import Recorder, Snapshot
from napari_cellprompt.session.saved.replay import ReplayRequest, replay, run, stored_labels
from napari_cellprompt.tasks.report import Report

SHAPE = (3, 24, 32)


def head(**values: Any) -> Session:
    values.setdefault(
        "image", ImageEntry(name="n", shape=SHAPE, dtype="uint8", fingerprint="")
    )
    layer = LayerEntry(name="Cells", shape=SHAPE, dtype="uint16", axes="ZYX")
    return Session(started="a", saved="b", layers=(layer,), **values)


class Worker:
    """Someone who does things at random, to an array and to a recorder."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.labels = np.zeros(SHAPE, np.uint16)
        self.undone: list[np.ndarray] = []
        self.done: list[np.ndarray] = []
        self.drafts: list[Any] = []
        self.recorder = Recorder()
        self.next = 1

    def act(self) -> None:
        name = self.rng.choice(["accept", "undo", "redo", "delete", "brush", "save"])
        getattr(self, str(name))()

    def accept(self) -> None:
        """What an accept does, in the words of the layers' own code."""
        count, policy = (
            int(self.rng.integers(1, 4)),
            str(self.rng.choice(["keep", "replace"])),
        )
        plane = int(self.rng.integers(SHAPE[0]))
        self.done.append(self.labels.copy())
        self.undone.clear()
        objects = []
        for _ in range(count):
            y, x = self.rng.integers(0, 16, 2)
            mask = CroppedMask(self.rng.random((8, 12)) > 0.3, (int(y), int(x)), SHAPE[1:])
            part = self.labels[plane, y : y + 8, x : x + 12]
            allowed = mask.data & ((part == 0) | (policy == "replace"))
            part[allowed] = self.next
            prompts = Prompts(points=((float(x), float(y)),), labels=(1,))
            objects.append(
                AcceptedObject(id=self.next, prompts=prompts, mask=pack_mask(mask))
            )
            self.next += 1
        step = Accept(
            kind="accept",
            at=0.0,
            layer=0,
            plane=PlaneEntry(index=(plane,), axes=(1, 2)),
            place=Place(index=(plane,), axes=(1, 2)),
            policy=policy,
            objects=tuple(objects),
        )
        self.drafts.append(lambda: step)

    def undo(self) -> None:
        if self.done:
            self.undone.append(self.labels.copy())
            self.labels[:] = self.done.pop()
            self.told("undo")

    def redo(self) -> None:
        if self.undone:
            self.done.append(self.labels.copy())
            self.labels[:] = self.undone.pop()
            self.told("redo")

    def delete(self) -> None:
        self.done.append(self.labels.copy())
        self.labels[self.labels == self.rng.integers(1, self.next + 1)] = 0
        self.told("delete")

    def brush(self) -> None:
        """Nobody tells of it."""
        z, y, x = (int(self.rng.integers(length - 3)) for length in (6, 24, 32))
        self.labels[z % 3, y : y + 3, x : x + 3] = self.rng.integers(0, self.next + 1)

    def told(self, what: str) -> None:
        step = Change(kind="change", at=0.0, layer=0, what=what)
        self.drafts.append(lambda: step)

    def save(self) -> None:
        drafts, self.drafts = tuple(self.drafts), []
        snapshot = Snapshot(head=head(), drafts=drafts, layers=((0, self.labels),))
        assert self.recorder.take(snapshot)


@pytest.mark.parametrize("seed", range(30))
def test_any_sequence_of_actions_is_done_again(seed: int, tmp_path: Path) -> None:
    worker = Worker(seed)
    for _ in range(40):
        worker.act()
    worker.save()
    path = write_session(
        tmp_path / "s.json", head(), objects=[], steps=worker.recorder.encoded_steps
    )
    session = parse_session(path.read_bytes())
    assert session.steps == tuple(worker.recorder.steps)
    assert np.array_equal(stored_labels(session)[0], worker.labels)
    # another day goes on from there
    worker.recorder = Recorder(session)
    for _ in range(10):
        worker.act()
    worker.save()
    again = replace(session, steps=tuple(worker.recorder.steps))
    assert np.array_equal(stored_labels(again)[0], worker.labels)


def test_pixels_that_change_while_they_are_read_wait_for_the_next_time() -> None:
    worker = Worker(0)
    worker.brush()
    snapshot = Snapshot(head=head(), layers=((0, worker.labels),), unchanged=lambda: False)
    assert not worker.recorder.take(snapshot)
    assert worker.recorder.steps == []
    worker.save()
    assert np.array_equal(worker.recorder.canvas.arrays[0], worker.labels)


def test_a_mask_outside_of_its_layer_gives_a_sentence() -> None:
    mask = CroppedMask(np.ones((4, 4), bool), (22, 0), SHAPE[1:])
    step = Accept(
        kind="accept",
        at=0.0,
        layer=0,
        plane=PlaneEntry(index=(0,), axes=(1, 2)),
        place=Place(index=(0,), axes=(1, 2)),
        objects=(AcceptedObject(id=1, prompts=Prompts(), mask=pack_mask(mask)),),
    )
    with pytest.raises(SessionFileError, match="outside"):
        Canvas(head().layers).apply(step)


# --- with a model ------------------------------------------------------------------------


def asked(folder: Path) -> tuple[Session, np.ndarray]:
    """A session of one click on one bright square, whose image is a file."""
    image = np.zeros((40, 50), np.uint8)
    image[5:15, 6:18] = 200
    tifffile.imwrite(folder / "image.tif", image)
    mask = CroppedMask(image > 0, (0, 0), image.shape)
    one = AcceptedObject(
        id=1, prompts=Prompts(points=((8.0, 8.0),), labels=(1,)), mask=pack_mask(mask)
    )
    step = Accept(
        kind="accept",
        at=1.0,
        layer=0,
        model=0,
        plane=PlaneEntry(axes=(0, 1), limits=(0.0, 255.0)),
        place=Place(axes=(0, 1)),
        objects=(one,),
    )
    session = Session(
        started="a",
        saved="b",
        image=ImageEntry(
            name="image",
            path=str(folder / "image.tif"),
            shape=image.shape,
            dtype="uint8",
            fingerprint=content_fingerprint(image),
        ),
        models=(ModelEntry(name="cellprompt-nano", hash="0" * 32),),
        layers=(LayerEntry(name="Cells", shape=image.shape, dtype="uint16", axes="YX"),),
        steps=(step,),
    )
    return session, image


def test_the_model_is_asked_again(tmp_path: Path) -> None:
    session, image = asked(tmp_path)
    fake = FakeSegmenter()
    found = replay(session, image=image, segmenter_of=lambda number: fake)
    assert (found.asked, found.differing) == (1, [])
    assert fake.predicted == [session.steps[0].objects[0].prompts]


def test_another_answer_is_told_and_the_accepted_mask_is_taken(tmp_path: Path) -> None:
    session, image = asked(tmp_path)
    smaller = replace(session.steps[0].objects[0], candidate=1)
    session = replace(session, steps=(replace(session.steps[0], objects=(smaller,)),))
    said: list[str] = []
    found = replay(
        session,
        image=image,
        segmenter_of=lambda number: FakeSegmenter(),
        report=Report(say=said.append),
    )
    assert len(found.differing) == 1
    assert "object 1" in said[0]
    assert np.array_equal(found.labels[0] == 1, image > 0)


def test_another_image_is_refused(tmp_path: Path) -> None:
    session, image = asked(tmp_path)
    path = write_session(tmp_path / "s.json", session)
    tifffile.imwrite(tmp_path / "other.tif", image + 1)
    request = ReplayRequest(
        session=path, output=tmp_path / "out.tif", image=tmp_path / "other.tif"
    )
    with pytest.raises(ImageError, match="its pixels are others"):
        run(request)
    assert not (tmp_path / "out.tif").exists()


def test_other_weights_are_told_of_and_the_accepted_masks_taken(tmp_path: Path) -> None:
    session, image = asked(tmp_path)
    path = write_session(tmp_path / "s.json", session)
    said: list[str] = []
    request = ReplayRequest(session=path, output=tmp_path / "out.tif")
    run(request, Report(say=said.append))
    assert any("other weights" in text for text in said)
    assert any("version" in text for text in said)
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif") == 1, image > 0)
