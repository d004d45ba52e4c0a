"""Labels on a disk: written chunk by chunk, undone, and nothing else touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.labels.commit import LabelsError, commit, max_label, widen
from napari_cellprompt.layers.labels.commit_stack import PlaneMask, commit_many

SHAPE = (4, 20, 30)
CHUNKS = (1, 10, 10)


@pytest.fixture
def image(viewer: ViewerModel) -> Image:
    layer = viewer.add_image(np.zeros(SHAPE), name="cells")
    viewer.dims.current_step = (2, 0, 0)
    return layer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "labels.zarr"
    array = zarr.create_array(str(path), shape=SHAPE, chunks=CHUNKS, dtype=np.uint8)
    array[0, 0:3, 0:3] = 9
    return path


@pytest.fixture
def labels(viewer: ViewerModel, folder: Path) -> Labels:
    return viewer.add_labels(zarr.open_array(str(folder), mode="r+"), name="on disk")


def on_disk(folder: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(str(folder), mode="r"))


def chunks(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in (folder / "c").rglob("*")
        if path.is_file()
    }


def test_only_the_chunks_of_the_object_are_written(
    viewer, image, labels, folder, make_mask
) -> None:
    before = on_disk(folder)
    assert chunks(folder) == {"c/0/0/0"}
    result = commit(
        labels, make_mask(3, 8, 4, 14), plane_of(viewer, image), 10, image=image
    )
    expected = before.copy()
    expected[2, 3:8, 4:14] = 10
    np.testing.assert_array_equal(on_disk(folder), expected)
    assert result.written == 50
    assert chunks(folder) == {"c/0/0/0", "c/2/0/0", "c/2/0/1"}
    labels.undo()
    np.testing.assert_array_equal(on_disk(folder), before)
    labels.redo()
    np.testing.assert_array_equal(on_disk(folder), expected)


def test_pixels_of_other_objects_are_kept(viewer, image, labels, folder, make_mask) -> None:
    view = plane_of(viewer, image)
    commit(labels, make_mask(3, 8, 4, 10), view, 1, image=image)
    result = commit(labels, make_mask(6, 12, 7, 14), view, 2, image=image)
    assert result.kept_out == 6
    stored = on_disk(folder)
    assert (stored[2, 3:8, 4:10] == 1).all()
    assert (stored == 2).sum() == 36


def test_many_planes_are_one_step(viewer, image, labels, folder, make_mask) -> None:
    before = on_disk(folder)
    masks = []
    for z in range(4):
        viewer.dims.current_step = (z, 0, 0)
        masks.append(PlaneMask(5, plane_of(viewer, image), make_mask(10, 15, 10, 20)))
    assert sum(result.written for result in commit_many(labels, masks, image=image)) == 200
    assert (on_disk(folder)[:, 10:15, 10:20] == 5).all()
    smaller = [PlaneMask(5, item.view, make_mask(10, 12, 10, 20), True) for item in masks]
    list(commit_many(labels, smaller, image=image))
    assert (on_disk(folder) == 5).sum() == 80
    labels.undo()
    assert (on_disk(folder) == 5).sum() == 200
    labels.undo()
    np.testing.assert_array_equal(on_disk(folder), before)


def test_the_largest_id_is_found_chunk_by_chunk(labels) -> None:
    assert max_label(labels.data) == 9


def test_what_is_read_only_is_refused(viewer, image, folder, make_mask) -> None:
    layer = viewer.add_labels(zarr.open_array(str(folder), mode="r"), name="on disk")
    before = on_disk(folder)
    with pytest.raises(LabelsError, match="read-only"):
        commit(layer, make_mask(3, 8, 4, 10), plane_of(viewer, image), 1, image=image)
    np.testing.assert_array_equal(on_disk(folder), before)


def test_labels_on_a_disk_do_not_become_a_copy_in_memory(viewer, labels) -> None:
    with pytest.raises(LabelsError, match="no room for more ids"):
        widen(viewer, labels)
    assert labels in viewer.layers
