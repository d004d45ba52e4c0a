"""Labels of any program, drawn anew."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

import napari_cellprompt
from napari_cellprompt.cli.main import main
from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.masks.labels import masks_of
from napari_cellprompt.core.masks.rle import decode_part, encode
from napari_cellprompt.core.segment.refining import refine_plane
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.io.label_tiff import read_labels

Y, X = np.mgrid[:80, :120]
TRUTH = np.zeros((80, 120), np.uint16)
TRUTH[(Y - 40) ** 2 + (X - 30) ** 2 < 18**2] = 7
TRUTH[(Y - 40) ** 2 + (X - 85) ** 2 < 15**2] = 300
IMAGE = np.clip(
    30 + 150 * (TRUTH > 0) + np.random.default_rng(0).normal(0, 5, TRUTH.shape), 0, 255
).astype(np.uint8)
ROUGH = np.where(ndimage.binary_erosion(TRUTH > 0, iterations=4), TRUTH, 0).astype(
    np.uint16
)


def iou(one, other):
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def test_rough_outlines_are_drawn_to_the_objects_and_keep_their_ids():
    before = ROUGH.copy()
    refined = napari_cellprompt.refine(IMAGE, ROUGH)
    assert refined.dtype == np.uint16
    assert np.unique(refined).tolist() == [0, 7, 300]
    for number in (7, 300):
        given = iou(ROUGH == number, TRUTH == number)
        assert iou(refined == number, TRUTH == number) > max(0.85, given)
    np.testing.assert_array_equal(ROUGH, before)


def test_what_the_model_does_not_find_stays_as_it_was(bright):
    labels = ROUGH.copy()
    labels[2:8, 2:8] = 9
    plane = PlaneSource.from_image(np.where(TRUTH > 0, 180, 30).astype(np.uint8))
    *_, last = refine_plane(PlaneSegmenter(bright), plane, labels)
    assert last.kept == (9,)
    np.testing.assert_array_equal(last.labels == 9, labels == 9)


@pytest.fixture
def bright():
    from tests.random_focus import bright_focus

    return bright_focus()


def test_many_objects_go_in_steps_and_nothing_of_an_empty_plane(bright):
    labels = np.zeros(TRUTH.shape, np.int32)
    for number in range(40):
        row, column = divmod(number, 10)
        labels[4 + 18 * row : 8 + 18 * row, 4 + 11 * column : 8 + 11 * column] = number + 1
    plane = PlaneSource.from_image(IMAGE)
    steps = list(refine_plane(PlaneSegmenter(bright), plane, labels))
    assert [step.done for step in steps] == [16, 32, 40]
    assert [step.labels is None for step in steps] == [True, True, False]
    assert not list(refine_plane(PlaneSegmenter(bright), plane, np.zeros_like(labels)))


def test_objects_of_labels_with_gaps_and_negative_values():
    labels = np.array([[0, 5, 5], [-1, 0, 2**31 - 1]], np.int32)
    objects = dict(masks_of(labels))
    assert sorted(objects) == [5, 2**31 - 1]
    assert objects[5].box == (1, 0, 3, 1)


@pytest.mark.parametrize("seed", range(10))
def test_the_part_of_a_mask_is_unpacked_as_all_of_it(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((23, 31), bool)
    y, x = rng.integers(0, 20, 2)
    mask[y : y + 9, x : x + 12] = rng.random(mask[y : y + 9, x : x + 12].shape) < 0.6
    part = decode_part(encode(mask))
    np.testing.assert_array_equal(part.to_plane(), mask)
    ys, xs = np.nonzero(mask)
    assert part.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert part.origin == (ys.min(), xs.min())
    assert decode_part(encode(np.zeros((4, 5), bool))) is None
    assert decode_part(encode(np.ones((4, 5), bool))).data.all()


def test_command_line_and_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack = np.stack([IMAGE, np.roll(IMAGE, 5, 1), IMAGE])
    rough = np.stack([ROUGH, np.zeros_like(ROUGH), ROUGH])
    tifffile.imwrite(tmp_path / "i.tif", stack, metadata={"axes": "ZYX"}, imagej=True)
    tifffile.imwrite(tmp_path / "l.tif", rough, metadata={"axes": "ZYX"}, imagej=True)
    before = (tmp_path / "l.tif").read_bytes()
    out = tmp_path / "o.tif"
    command = ["segment", str(tmp_path / "i.tif"), "--refine", str(tmp_path / "l.tif")]
    assert main([*command, "-o", str(out), "--device", "cpu"]) == 0
    labels = read_labels(out).labels
    assert labels.shape == (3, 80, 120)
    assert not labels[1].any()
    assert iou(labels[2] == 7, TRUTH == 7) > 0.85
    assert (tmp_path / "l.tif").read_bytes() == before
    assert main([*command, "-o", str(tmp_path / "l.tif")]) == 2
    capsys.readouterr()
    both = [*command, "--prompts", str(tmp_path / "p.json"), "-o", str(out)]
    assert main(both) == 2


def test_a_mask_of_a_prompt_file_gives_the_same(tmp_path: Path) -> None:
    mask = encode(ROUGH == 7)
    prompts = {
        "version": 1,
        "objects": [{"id": 7, "mask": {"size": list(mask.size), "counts": mask.counts}}],
    }
    (tmp_path / "p.json").write_text(json.dumps(prompts))
    tifffile.imwrite(tmp_path / "i.tif", IMAGE)
    out = tmp_path / "o.tif"
    arguments = [str(tmp_path / "i.tif"), "--prompts", str(tmp_path / "p.json")]
    assert main(["segment", *arguments, "-o", str(out), "--device", "cpu"]) == 0
    refined = napari_cellprompt.refine(IMAGE, np.where(ROUGH == 7, ROUGH, 0))
    np.testing.assert_array_equal(read_labels(out).labels == 7, refined == 7)


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(ImageError, match=r"shape \(79, 120\)"):
        napari_cellprompt.refine(IMAGE, ROUGH[1:])
    with pytest.raises(ImageError, match="whole numbers"):
        napari_cellprompt.refine(IMAGE, ROUGH.astype(float))
