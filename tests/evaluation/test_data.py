"""Reading folders of images and labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.evaluation.data import DataSet, find_sets, read_set


def pair(folder: Path, name: str, image: np.ndarray, labels: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kind = "rgb" if image.shape[-1] == 3 else "minisblack"
    tifffile.imwrite(folder / f"{name}_img.tif", image, photometric=kind)
    tifffile.imwrite(folder / f"{name}_lab.tif", labels, photometric="minisblack")


def stack(planes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((planes, 20, 30), np.uint16)
    for number in range(planes):
        labels[number, 5:12, 3 + number : 10 + number] = number + 1
    return (labels > 0) * np.uint16(1000) + 50, labels


def test_pairs_are_found_by_their_names(tmp_path: Path) -> None:
    image, labels = stack()
    pair(tmp_path / "b", "two", image[0], labels[0])
    pair(tmp_path, "one", image[1], labels[1])
    sets = find_sets(tmp_path)
    assert sorted(item.name for item in sets) == ["one", "two"]
    assert [item.name for item in find_sets(tmp_path, {"two"})] == ["two"]
    (plane,) = read_set(find_sets(tmp_path, {"one"})[0]).planes
    assert plane.dataset == "one" and plane.source.shape == (20, 30)
    np.testing.assert_array_equal(plane.labels, labels[1])
    assert plane.source.read(0, 20, 0, 30).max() == 255


@pytest.mark.parametrize(
    ("axes", "limits"), [("ZYX", 1), ("qyx", 3)], ids=["stack", "unrelated"]
)
def test_manifest_says_what_the_axes_are(tmp_path: Path, axes: str, limits: int) -> None:
    image, labels = stack()
    image = image * np.arange(1, 4, dtype=np.uint16)[:, None, None]
    pair(tmp_path / "in", "some", image, labels)
    entry = {"name": "s", "img": "in/some_img.tif", "lab": "in/some_lab.tif", "axes": axes}
    (tmp_path / "manifest.json").write_text(json.dumps([entry]))
    planes = read_set(find_sets(tmp_path)[0]).planes
    assert [int(plane.labels.max()) for plane in planes] == [1, 2, 3]
    assert len({plane.source.key for plane in planes}) == 3
    assert len({plane.source.key.limits for plane in planes}) == limits
    brightest = [plane.source.read(0, 20, 0, 30).max() for plane in planes]
    assert (brightest[0] == 255) == (limits == 3) and brightest[2] == 255


def test_colours_and_channels(tmp_path: Path) -> None:
    image, labels = stack(1)
    rgb = np.stack([image[0] // 8] * 3, axis=-1).astype(np.uint8)
    pair(tmp_path, "rgb", rgb, labels[0])
    item = DataSet("rgb", tmp_path / "rgb_img.tif", tmp_path / "rgb_lab.tif", "YXS")
    assert read_set(item).planes[0].source.is_rgb
    pair(tmp_path, "two", np.stack([image[0], image[0] * 0]), labels[0])
    item = DataSet("two", tmp_path / "two_img.tif", tmp_path / "two_lab.tif", "CYX")
    (plane,) = read_set(item).planes
    assert plane.source.key.channel == 0 and plane.source.read(0, 20, 0, 30).max() == 255


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="There is no folder"):
        find_sets(tmp_path / "none")
    with pytest.raises(ImageError, match="no pair of files"):
        find_sets(tmp_path)
    image, labels = stack()
    pair(tmp_path, "one", image[0], labels[0])
    with pytest.raises(ImageError, match="no data set named other; there are one"):
        find_sets(tmp_path, {"other"})
    (tmp_path / "one_lab.tif").unlink()
    with pytest.raises(ImageError, match=r"one_lab\.tif is missing"):
        find_sets(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be read"),
        ("{}", "must hold a list"),
        ('[{"name": "a"}]', "entry 0 needs the texts"),
        ("[3]", "entry 0 needs the texts"),
    ],
    ids=["no-json", "no-list", "no-paths", "no-object"],
)
def test_manifests_that_cannot_be_used(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ImageError, match=reason):
        find_sets(tmp_path)


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    image, labels = stack()
    pair(tmp_path, "one", image[0], labels[0, :10])
    with pytest.raises(ImageError, match=r"has the shape \(10, 30\)"):
        read_set(find_sets(tmp_path)[0])
    pair(tmp_path, "one", image[0], labels[0] + 0.5)
    with pytest.raises(ImageError, match="holds no labels"):
        read_set(find_sets(tmp_path)[0])


@pytest.mark.parametrize(
    ("axes", "length"), [("ZYX", 3), ("TYX", 3), ("QYX", None)], ids=["z", "t", "unrelated"]
)
def test_planes_along_z_or_t_are_a_stack(
    tmp_path: Path, axes: str, length: int | None
) -> None:
    image, labels = stack()
    pair(tmp_path, "one", image, labels)
    found = read_set(
        DataSet("one", *(tmp_path / f"one_{e}.tif" for e in ("img", "lab")), axes)
    )
    if length is None:
        assert found.stack is None
        return
    assert found.stack is not None and len(found.stack.stack) == length
    assert found.stack.stack.is_time == (axes == "TYX")
    np.testing.assert_array_equal(found.stack.labels, labels)
    # the same key: features that one part of an evaluation made serve the others
    assert found.stack.stack.plane(1).key == found.planes[1].source.key


def test_a_movie_of_stacks_is_followed_along_z_of_its_first_frame(tmp_path: Path) -> None:
    image, labels = stack(4)
    pair(tmp_path, "one", image.reshape(2, 2, 20, 30), labels.reshape(2, 2, 20, 30))
    item = DataSet("one", tmp_path / "one_img.tif", tmp_path / "one_lab.tif", "TZYX")
    found = read_set(item)
    assert len(found.planes) == 4
    assert found.stack is not None and not found.stack.stack.is_time
    np.testing.assert_array_equal(found.stack.labels, labels[:2])
    assert found.stack.stack.plane(1).key == found.planes[1].source.key
