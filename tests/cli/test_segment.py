from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_cellprompt.cli.main import main
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.io.label_tiff import read_labels

if TYPE_CHECKING:
    from .conftest import ThresholdSegmenter


def squares(*shape: int) -> np.ndarray:
    """Two bright squares of 8 pixels on every plane."""
    image = np.full(shape, 100, np.uint16)
    image[..., 5:13, 10:18] = 900
    image[..., 20:28, 30:38] = 800
    return image


def write(folder: Path, image: np.ndarray, objects: list[Any], **options: Any) -> list[str]:
    """Files for the command, and its arguments."""
    tifffile.imwrite(folder / "image.tif", image, photometric="minisblack", **options)
    (folder / "p.json").write_text(json.dumps({"version": 1, "objects": objects}))
    return [
        "segment", str(folder / "image.tif"),
        "--prompts", str(folder / "p.json"),
        "-o", str(folder / "out.tif"),
    ]  # fmt: skip


CLICK = {"id": 4, "points": [[14, 9]]}
BOX = {"id": 7, "box": [28, 18, 40, 30]}


def test_one_plane(fake: ThresholdSegmenter, tmp_path: Path) -> None:
    arguments = write(tmp_path, squares(40, 50), [CLICK, BOX])
    assert main([*arguments, "--model", "some", "--device", "cpu"]) == 0
    labels = read_labels(tmp_path / "out.tif").labels
    expected = np.zeros((40, 50), np.uint8)
    expected[5:13, 10:18] = 4
    expected[20:28, 30:38] = 7
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.uint8
    assert fake.loaded == [("some", "cpu")]


def test_a_stack_keeps_shape_and_calibration(
    fake: ThresholdSegmenter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = [
        {**CLICK, "plane": 3},
        {**CLICK, "plane": 1},
        {**BOX, "plane": 3, "id": 70000},
    ]
    arguments = write(
        tmp_path,
        squares(5, 40, 50),
        objects,
        imagej=True,
        resolution=(4, 4),
        metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"},
    )
    assert main(arguments) == 0
    found = read_labels(tmp_path / "out.tif")
    assert found.labels.shape == (5, 40, 50)
    assert found.labels.dtype == np.uint32
    assert (found.axes, found.scale, found.unit) == ("ZYX", (2, 0.25, 0.25), "um")
    assert [sorted(np.unique(plane)) for plane in found.labels] == [
        [0], [0, 4], [0], [0, 4, 70000], [0],
    ]  # fmt: skip
    # One plane after the other, both objects of plane 3 at once.
    assert [plane.key.index for plane in fake.planes] == [(1,), (3,)]
    said = capsys.readouterr()
    assert said.out == ""
    assert "plane 2 of 2: 2 objects" in said.err


@pytest.mark.parametrize(
    ("along", "objects", "filled"),
    [
        ([], [{**CLICK, "plane": 2, "at": {"T": 1}}], (1, 2)),
        ([], [{**CLICK, "plane": 2}], (0, 2)),
        (["--along", "t"], [{**CLICK, "plane": 1, "at": {"Z": 2}}], (1, 2)),
    ],
    ids=["z", "first frame", "t"],
)
def test_four_axes(
    fake: ThresholdSegmenter,
    along: list[str],
    objects: list[Any],
    filled: tuple[int, int],
    tmp_path: Path,
) -> None:
    arguments = write(tmp_path, squares(2, 3, 40, 50), objects)
    assert main([*arguments, "--axes", "TZYX", *along]) == 0
    labels = read_labels(tmp_path / "out.tif").labels
    assert labels.shape == (2, 3, 40, 50)
    assert [tuple(place) for place in np.argwhere(labels.any(axis=(2, 3)))] == [filled]


@pytest.mark.parametrize(
    ("option", "at", "channel"),
    [([], {}, 0), (["--channel", "1"], {}, 1), (["--channel", "1"], {"C": 0}, 0)],
    ids=["first", "option", "prompt"],
)
def test_channels_are_left_out_of_the_result(
    fake: ThresholdSegmenter,
    option: list[str],
    at: dict[str, int],
    channel: int,
    tmp_path: Path,
) -> None:
    image = squares(2, 2, 40, 50)
    arguments = write(tmp_path, image, [{**CLICK, "plane": 1, "at": at}])
    assert main([*arguments, "--axes", "ZCYX", *option]) == 0
    assert read_labels(tmp_path / "out.tif").labels.shape == (2, 40, 50)
    assert [plane.key.channel for plane in fake.planes] == [channel]


def test_rgb_pictures(fake: ThresholdSegmenter, tmp_path: Path) -> None:
    arguments = write(tmp_path, squares(40, 50), [CLICK])
    grey = (squares(40, 50) // 4).astype(np.uint8)
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "image.png")
    arguments[1] = str(tmp_path / "image.png")
    assert main(arguments) == 0
    assert read_labels(tmp_path / "out.tif").labels.shape == (40, 50)
    assert fake.planes[0].is_rgb


def test_contrast_is_that_of_the_whole_stack(
    fake: ThresholdSegmenter, tmp_path: Path
) -> None:
    image = squares(3, 40, 50)
    image[2] *= 10
    arguments = write(tmp_path, image, [{**CLICK, "plane": 0}, {**CLICK, "plane": 2}])
    assert main(arguments) == 0
    assert len({plane.key.limits for plane in fake.planes}) == 1
    assert fake.planes[0].key.limits == pytest.approx((100, 9000), rel=0.01)
    assert main([*arguments, "--contrast", "50", "1000"]) == 0
    assert fake.planes[-1].key.limits == (50, 1000)


def test_where_objects_overlap_the_surer_one_wins(
    fake: ThresholdSegmenter, tmp_path: Path
) -> None:
    objects = [{"id": 2, "box": [10, 5, 14, 13]}, {"id": 9, "points": [[14, 9]]}]
    assert main(write(tmp_path, squares(40, 50), objects)) == 0
    labels = read_labels(tmp_path / "out.tif").labels
    assert (labels == 2).sum() == (labels == 9).sum() == 32


def test_mask_prompts(fake: ThresholdSegmenter, tmp_path: Path) -> None:
    rle = encode(np.eye(40, 50, dtype=bool))
    objects = [{"id": 1, "mask": {"size": [40, 50], "counts": rle.counts}}]
    assert main(write(tmp_path, squares(40, 50), objects)) == 0
    assert (read_labels(tmp_path / "out.tif").labels == np.eye(40, 50)).all()


def test_an_object_that_is_not_found_is_named(
    fake: ThresholdSegmenter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = [{"id": 3, "box": [0, 0, 4, 4]}]
    assert main(write(tmp_path, squares(40, 50), objects)) == 0
    assert "object 3 was not found" in capsys.readouterr().err
    assert not read_labels(tmp_path / "out.tif").labels.any()


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.full((40, 50), np.nan, np.float32), id="NaN"),
        pytest.param(np.full((40, 50), 7, np.uint16), id="constant"),
        pytest.param(np.zeros((40, 1), np.uint8), id="one pixel wide"),
    ],
)
def test_images_without_content(
    fake: ThresholdSegmenter, image: np.ndarray, tmp_path: Path
) -> None:
    assert main(write(tmp_path, image, [{"id": 1, "points": [[0, 9]]}])) == 0
    assert read_labels(tmp_path / "out.tif").labels.shape == image.shape


@pytest.mark.parametrize(
    ("objects", "options", "message"),
    [
        ([], [], "p.json holds no objects"),
        ([CLICK], [], "objects[0] needs a plane: the image has 4 along Z"),
        ([{**CLICK, "plane": 4}], [], "objects[0].plane is 4, but the image has only 4"),
        ([{**CLICK, "plane": 1, "at": {"T": 0}}], [], "no axis T, its axes are ZYX"),
        ([{**CLICK, "plane": 1, "at": {"Z": 0}}], [], "objects[0].at.Z repeats"),
        (
            [{"id": 1, "plane": 0, "points": [[50, 9]]}],
            [],
            "points[0] (50, 9) lies outside",
        ),
        ([{"id": 1, "plane": 0, "box": [60, 1, 70, 9]}], [], "objects[0].box lies outside"),
        (
            [{"id": 1, "plane": 0, "points": [[5, 9]], "labels": [0]}],
            [],
            "needs a point on the object",
        ),
        (
            [{"id": 1, "plane": 0, "mask": {"size": [1, 2], "counts": "2"}}],
            [],
            "objects[0].mask is 2 x 1 pixels, unlike the image of 50 x 40",
        ),
        ([{**CLICK, "plane": 0}], ["--along", "t"], "has no axis T"),
        ([{**CLICK, "plane": 0}], ["--channel", "1"], "has no channels"),
        ([{**CLICK, "plane": 0}], ["--axes", "CYX", "--channel", "4"], "channels 0 to 3"),
        ([{**CLICK, "plane": 1}], ["--axes", "CYX"], "plane is 1, but the image is one"),
        ([{**CLICK, "plane": 0}], ["--axes", "YX"], "name 2 axes"),
        ([{**CLICK, "plane": 0}], ["--contrast", "9", "3"], "the smaller first"),
        ([{**CLICK, "plane": 0}], ["-o", "labels.png"], "must go to a .tif file"),
        ([{**CLICK, "plane": 0}], ["-o", "no/such/labels.tif"], "does not exist"),
    ],
)
def test_what_cannot_be_done(
    fake: ThresholdSegmenter,
    objects: list[Any],
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = write(tmp_path, squares(4, 40, 50), objects)
    assert main([*arguments, *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert message in lines[-1]
    assert lines[-1].startswith("cellprompt: ")
    assert not any("Traceback" in line for line in lines)
    assert not (tmp_path / "out.tif").exists()


def test_mistakes_are_found_before_the_model_is_loaded(
    fake: ThresholdSegmenter, tmp_path: Path
) -> None:
    assert main(write(tmp_path, squares(4, 40, 50), [CLICK])) == 2
    assert fake.loaded == []


def test_the_image_is_never_overwritten(
    fake: ThresholdSegmenter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = write(tmp_path, squares(40, 50), [CLICK])
    assert main([*arguments, "-o", arguments[1]]) == 2
    assert "image.tif would overwrite" in capsys.readouterr().err
    assert tifffile.imread(tmp_path / "image.tif").max() == 900


@pytest.mark.parametrize("axes", ["YXZ", "YZX"])
def test_axes_in_any_order(fake: ThresholdSegmenter, axes: str, tmp_path: Path) -> None:
    stored = squares(4, 40, 50).transpose(["ZYX".index(letter) for letter in axes])
    arguments = write(tmp_path, stored, [{**CLICK, "plane": 2}], metadata={"axes": axes})
    assert main(arguments) == 0
    found = read_labels(tmp_path / "out.tif")
    assert (found.axes, found.labels.shape) == ("ZYX", (4, 40, 50))
    assert np.argwhere(found.labels.any(axis=(1, 2))).tolist() == [[2]]


@pytest.mark.parametrize("option", ["--prompts", "hard link"])
def test_no_input_is_overwritten(
    fake: ThresholdSegmenter, option: str, tmp_path: Path
) -> None:
    arguments = write(tmp_path, squares(40, 50), [CLICK])
    target = tmp_path / "same.tif"
    target.hardlink_to(tmp_path / ("p.json" if option == "--prompts" else "image.tif"))
    before = target.read_bytes()
    assert main([*arguments, "-o", str(target)]) == 2
    assert target.read_bytes() == before
    assert fake.loaded == []


@pytest.mark.parametrize("missing", ["image.tif", "p.json"])
def test_missing_files(
    fake: ThresholdSegmenter,
    missing: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = write(tmp_path, squares(40, 50), [CLICK])
    (tmp_path / missing).unlink()
    assert main(arguments) == 2
    assert missing in capsys.readouterr().err


@pytest.mark.slow
def test_with_the_bundled_model(tmp_path: Path) -> None:
    rows, columns = np.ogrid[:128, :128]
    disk = (rows - 60) ** 2 + (columns - 70) ** 2 <= 12**2
    noise = np.random.default_rng(0).normal(200, 20, disk.shape)
    image = (noise + 800 * disk).astype(np.uint16)
    arguments = write(tmp_path, image, [{"id": 5, "box": [58, 48, 83, 73]}])
    assert main([*arguments, "--device", "cpu"]) == 0
    found = read_labels(tmp_path / "out.tif").labels == 5
    assert (found & disk).sum() / (found | disk).sum() > 0.6
