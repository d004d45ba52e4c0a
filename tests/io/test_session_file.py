from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_cellprompt.core.masks.packed import PackedMask
from napari_cellprompt.core.types import CroppedMask, Prompts
from napari_cellprompt.io.session_file import (
    SessionFileError,
    json_schema,
    parse_session,
    read_session,
    write_session,
)
from napari_cellprompt.io.session_masks import (
    apply_pixels,
    changed_pixels,
    pack_levels,
    pack_mask,
    unpack_levels,
    unpack_mask,
)
from napari_cellprompt.io.session_types import (
    Accept,
    AcceptedObject,
    Change,
    DrawingEntry,
    ImageEntry,
    LayerEntry,
    ModelEntry,
    ObjectEntry,
    Place,
    PlaneEntry,
    PropagationEntry,
    RunCall,
    Session,
    StackEntry,
    StoredEntry,
    TrackEntry,
)

SCHEMA = Path(__file__).parents[2] / "docs" / "session.schema.json"
PROMPTS = Prompts(points=((3.5, 2.0), (1.0, 0.25)), labels=(1, 0), box=(0, 0, 9, 8))
PLANE = PlaneEntry(index=(1,), axes=(1, 2), limits=(0.0, 4000.0))
MASK = CroppedMask(np.eye(5, 7, dtype=bool), (10, 20), (40, 50))


def full() -> Session:
    """A session with one entry of each kind."""
    accept = Accept(
        kind="accept",
        at=1.5,
        layer=0,
        model=0,
        plane=PLANE,
        place=Place(index=(1,), axes=(1, 2), offset=(0, 3)),
        objects=(AcceptedObject(id=4, prompts=PROMPTS, mask=pack_mask(MASK)),),
    )
    stored = StoredEntry(state="locked", before=StoredEntry(state="tracked", step=1))
    return Session(
        program={"cellprompt": "0.1.0"},
        started="2026-01-01T10:00:00+00:00",
        saved="2026-01-01T10:05:00+00:00",
        image=ImageEntry(name="n", shape=(3, 40, 50), dtype="uint16", fingerprint="ab"),
        models=(ModelEntry(name="cellprompt-focus", hash="00"),),
        layers=(LayerEntry(name="Cells", shape=(3, 40, 50), dtype="uint16"),),
        drawing=DrawingEntry(
            points=((0.0, 1.0, 2.0),), features={"polarity": ("positive",)}
        ),
        propagation=PropagationEntry(
            stack=StackEntry(plane=PLANE, axis=0, name="z"),
            tracks=(TrackEntry(id=1, planes={2: stored}, stale=(2,)),),
            calls=(RunCall(do="prompt", plane=2, prompts=((1, PROMPTS),)),),
        ),
        objects=(ObjectEntry(layer=0, id=4, record={"id": 4, "planes": []}),),
        steps=(accept, Change(kind="change", at=2.0, layer=0, what="undo", ids=(4,))),
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write_session(tmp_path / "a.json", full())
    assert read_session(path) == full()
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_the_committed_schema_is_that_of_the_classes() -> None:
    assert json.loads(SCHEMA.read_text()) == json_schema()


def test_files_are_as_the_schema_says(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    path = write_session(tmp_path / "a.json", full())
    jsonschema.validate(json.loads(path.read_text()), json_schema())


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
def test_a_file_that_is_cut_off_gives_a_sentence(tmp_path: Path, share: float) -> None:
    content = write_session(tmp_path / "a.json", full()).read_bytes()
    with pytest.raises(SessionFileError, match=r"cut off|no session file") as raised:
        parse_session(content[: int(share * (len(content) - 2))], "a.json")
    assert "a.json" in str(raised.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": 2}, "newer version"),
        ({"format": "other"}, "no session file"),
        ({"steps": [{"kind": "accept"}]}, r"damaged: steps\.0"),
        ({"strange": 1}, "damaged: strange"),
        ({"layers": []}, "a layer or a model that the file"),
        ({"models": []}, "a layer or a model that the file"),
    ],
)
def test_other_files_give_a_sentence(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    known = json.loads(write_session(tmp_path / "a.json", full()).read_text())
    with pytest.raises(SessionFileError, match=sentence):
        parse_session(json.dumps({**known, **change}).encode())


def test_masks_come_back() -> None:
    there = unpack_mask(pack_mask(MASK))
    assert np.array_equal(np.stack(there.indices()), np.stack(MASK.indices()))
    packed = PackedMask.pack(MASK)
    again = unpack_levels(pack_levels(packed))
    assert again is not None
    assert np.array_equal(again.levels(), packed.levels())


def test_changed_pixels_come_back() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 5, (30, 40)).astype(np.uint32)
    after = before.copy()
    after[3:9, 5:30] = rng.integers(0, 2**32 - 1, (6, 25))
    pixels = changed_pixels(before, after, (), (0, 1))
    assert pixels is not None
    apply_pixels(before, pixels)
    assert np.array_equal(before, after)
    assert changed_pixels(after, after, (), (0, 1)) is None


def test_damaged_pixels_give_a_sentence() -> None:
    before, after = np.zeros((4, 4), np.uint8), np.eye(4, dtype=np.uint8)
    pixels = changed_pixels(before, after, (), (0, 1))
    assert pixels is not None
    for damaged in (
        replace(pixels, values=pixels.values[:-5]),
        replace(pixels, box=(0, 0, 9, 4)),
        replace(pixels, box=(0, 0, 3, 4)),
    ):
        with pytest.raises(SessionFileError, match="damaged"):
            apply_pixels(before, damaged)
