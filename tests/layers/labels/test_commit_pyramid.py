"""Labels of several levels: the finest is written, the coarser ones follow, undoably."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.labels import edits
from napari_cellprompt.layers.labels.accept import Acceptor
from napari_cellprompt.layers.labels.commit import (
    LabelIds,
    LabelsError,
    commit,
    widen,
)
from napari_cellprompt.layers.labels.commit_stack import PlaneMask, commit_many
from napari_cellprompt.layers.labels.survey import (
    apply_differences,
    differences,
    survey,
)
from napari_cellprompt.layers.labels.writing import one_step, redo, undo, write
from napari_cellprompt.session.history import Moved
from napari_cellprompt.session.objects import ObjectRecord

SHAPE = (4, 21, 30)


def levels_of(finest: np.ndarray) -> list[np.ndarray]:
    """Every second and every fourth pixel along Y and X."""
    return [finest, finest[:, ::2, ::2].copy(), finest[:, ::4, ::4].copy()]


def start() -> np.ndarray:
    data = np.zeros(SHAPE, np.uint16)
    data[0, 0:5, 0:5] = 9
    return data


@pytest.fixture(params=["numpy", "zarr"])
def levels(request: pytest.FixtureRequest, tmp_path: Path) -> list[Any]:
    arrays: list[Any] = levels_of(start())
    if request.param == "numpy":
        return arrays
    return [
        zarr.create_array(str(tmp_path / f"{number}.zarr"), data=level, chunks=(1, 10, 10))
        for number, level in enumerate(arrays)
    ]


@pytest.fixture
def image(viewer: ViewerModel) -> Image:
    layer = viewer.add_image(np.zeros(SHAPE), name="cells")
    viewer.dims.current_step = (2, 0, 0)
    return layer


@pytest.fixture
def labels(viewer: ViewerModel, image: Image, levels: list[Any]) -> Labels:
    return viewer.add_labels(levels, name="pyramid", multiscale=True)


def held(labels: Labels) -> list[np.ndarray]:
    return [np.array(level) for level in labels.data]


def assert_same(labels: Labels, expected: list[np.ndarray]) -> None:
    for now, then in zip(held(labels), expected, strict=True):
        np.testing.assert_array_equal(now, then)


def test_all_levels_show_an_object_and_nothing_else_changes(
    viewer, image, labels, make_mask
) -> None:
    before = held(labels)
    view = plane_of(viewer, image)
    result = commit(labels, make_mask(3, 8, 4, 13, SHAPE[1:]), view, 10, image=image)
    assert result.written == 45
    expected = start()
    expected[2, 3:8, 4:13] = 10
    assert_same(labels, levels_of(expected))
    undo(labels)
    assert_same(labels, before)
    redo(labels)
    assert_same(labels, levels_of(expected))


def test_other_objects_are_kept_and_ids_are_counted(
    viewer, image, labels, make_mask
) -> None:
    view = plane_of(viewer, image)
    ids = LabelIds()
    assert ids.next_id(labels) == 10
    commit(labels, make_mask(3, 8, 4, 10, SHAPE[1:]), view, 1, image=image)
    result = commit(labels, make_mask(6, 12, 7, 14, SHAPE[1:]), view, 2, image=image)
    assert result.kept_out == 6
    assert (held(labels)[0][2, 3:8, 4:10] == 1).all()
    ids.close()


def test_many_planes_are_one_step_and_one_announcement(
    viewer, image, labels, make_mask
) -> None:
    before, told = held(labels), []
    labels.events.paint.connect(told.append)
    masks = []
    for z in range(4):
        viewer.dims.current_step = (z, 0, 0)
        masks.append(
            PlaneMask(5, plane_of(viewer, image), make_mask(10, 15, 10, 20, SHAPE[1:]))
        )
    list(commit_many(labels, masks, image=image))
    assert len(told) == 1
    smaller = [
        PlaneMask(5, item.view, make_mask(10, 12, 10, 20, SHAPE[1:]), True)
        for item in masks
    ]
    list(commit_many(labels, smaller, image=image))
    assert_same(labels, levels_of(held(labels)[0]))
    assert (held(labels)[0] == 5).sum() == 80
    undo(labels)
    undo(labels)
    assert_same(labels, before)
    undo(labels)
    assert_same(labels, before)


def test_undo_leaves_what_others_have_changed_since(
    viewer, image, labels, make_mask
) -> None:
    view = plane_of(viewer, image)
    commit(labels, make_mask(3, 8, 4, 13, SHAPE[1:]), view, 10, image=image)
    labels.data[0][2, 4:6, 4:6] = 77
    undo(labels)
    expected = start()
    expected[2, 4:6, 4:6] = 77
    np.testing.assert_array_equal(held(labels)[0], expected)


def test_what_is_shown_is_drawn_anew(viewer, image, labels, make_mask) -> None:
    drawn: list[object] = []
    labels.events.set_data.connect(drawn.append)
    view = plane_of(viewer, image)
    commit(labels, make_mask(3, 8, 4, 13, SHAPE[1:]), view, 10, image=image)
    assert len(drawn) == 1
    assert labels.get_value((2, 4, 5), world=True)[1] == 10
    undo(labels)
    assert len(drawn) == 2


def test_the_ledger_follows_undo_and_foreign_edits(viewer, image, labels) -> None:
    acceptor = Acceptor(viewer)
    look(acceptor, labels)
    edit = edits.delete(acceptor, labels, [9])
    assert not held(labels)[0].any() and not held(labels)[2].any()
    assert 9 not in acceptor.store(labels)
    labels.data[0][0, 0, 0] = 3
    assert edit.step().undo() is Moved.DONE
    assert edit.kept == 1
    assert 9 in acceptor.store(labels)
    expected = start()
    expected[0, 0, 0] = 3
    np.testing.assert_array_equal(held(labels)[0], expected)
    acceptor.close()


def test_undo_beside_the_ledger_is_noticed(viewer, image, labels) -> None:
    acceptor = Acceptor(viewer)
    look(acceptor, labels)
    edits.renumber(acceptor, labels, 9, 4)
    assert {record.id for record in acceptor.store(labels)} == {4}
    undo(labels)
    acceptor.sync(labels)
    assert {record.id for record in acceptor.store(labels)} == {9}
    acceptor.close()


def look(acceptor: Acceptor, labels: Labels) -> None:
    """Bring a ledger in line with what is in the finest level."""
    seen = survey(labels.data[0])
    assert seen is not None
    store, lost = acceptor.store(labels), dict[int, ObjectRecord]()
    apply_differences(store, differences(store, seen, lost), lost)


def test_locks_and_levels_that_cannot_be_written_are_respected(
    viewer, image, labels, make_mask
) -> None:
    mask, view = make_mask(3, 8, 4, 13, SHAPE[1:]), plane_of(viewer, image)
    labels.locked = True
    with pytest.raises(LabelsError, match="locked"):
        commit(labels, mask, view, 10, image=image)
    coarse = np.zeros((4, 11, 15), np.uint16)
    coarse.flags.writeable = False
    layer = viewer.add_labels([start(), coarse], name="half", multiscale=True)
    with pytest.raises(LabelsError, match="read-only"):
        commit(layer, mask, view, 10, image=image)
    with pytest.raises(LabelsError, match="several levels"):
        widen(viewer, layer)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(2, 40), st.integers(2, 40)),
    st.integers(2, 5),
    st.sampled_from(["stride", "floor", "any"]),
    st.integers(0, 2**31),
)
def test_a_coarser_level_is_what_sampling_gives(shape, step, kind, seed) -> None:
    rng = np.random.default_rng(seed)
    lengths = {
        "stride": [-(-length // step) for length in shape],
        "floor": [max(length // step, 1) for length in shape],
        "any": [int(rng.integers(1, length + 1)) for length in shape],
    }[kind]
    assume(np.prod(lengths) < np.prod(shape))  # napari takes no others for levels
    finest = np.zeros(shape, np.uint8)
    layer = Labels([finest, np.zeros(lengths, np.uint8)], multiscale=True)
    where = np.nonzero(rng.random(shape) < 0.3)
    with one_step(layer):
        write(layer, where, 7)
    at = np.ix_(*(sampled(length, few) for length, few in zip(shape, lengths, strict=True)))
    np.testing.assert_array_equal(np.asarray(layer.data[1]), finest[at])


def sampled(many: int, few: int) -> np.ndarray:
    """The pixels of a finer axis that a coarser one shows."""
    whole = max(round(many / few), 1)
    if few in (many // whole, -(-many // whole)):
        return np.arange(few) * whole
    return np.arange(few) * many // few
