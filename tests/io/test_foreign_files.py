"""Files as other programs write them: axes, series, units and labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.image_files import read_header, read_image
from napari_cellprompt.io.label_tiff import read_labels, write_labels

STACK = np.random.default_rng(0).integers(0, 250, (5, 20, 30)).astype(np.uint16)
COLOURS = np.random.default_rng(1).integers(0, 250, (4, 20, 30, 3)).astype(np.uint8)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("axes", ["YXZ", "YZX", "XYZ", "ZYX"])
def test_axes_come_in_any_order(axes: str, lazy: bool, tmp_path: Path) -> None:
    stored = STACK.transpose(["ZYX".index(letter) for letter in axes])
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric="minisblack",
        compression="zlib" if lazy else None,
        metadata={"axes": axes},
    )
    image = read_image(tmp_path / "a.tif", lazy=lazy)
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(np.asarray(image.data), STACK)
    header = read_header(tmp_path / "a.tif")
    assert header is not None
    assert (header.axes, header.shape) == (axes, stored.shape)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("planes", "axes"), [(STACK, "ZYX"), (COLOURS, "ZYXS")], ids=["grey", "colour"]
)
def test_pages_written_one_by_one_are_a_stack(
    planes: np.ndarray, axes: str, lazy: bool, tmp_path: Path
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for plane in planes:
            tif.write(plane, contiguous=False)
    image = read_image(tmp_path / "a.tif", lazy=lazy)
    assert (image.axes, image.notes) == (axes, ())
    assert isinstance(image.data, da.Array) == lazy
    np.testing.assert_array_equal(np.asarray(image.data), planes)
    one = read_image(tmp_path / "a.tif", series=3)
    np.testing.assert_array_equal(np.asarray(one.data), planes[3])


@pytest.mark.parametrize("axes", [None, "ZYXS"])
def test_planar_colours_of_a_stack(axes: str | None, tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(COLOURS, -1, 1),
        photometric="rgb",
        planarconfig="separate",
        metadata=None,
    )
    image = read_image(tmp_path / "a.tif", axes)
    assert image.axes == "ZYXS"
    np.testing.assert_array_equal(np.asarray(image.data), COLOURS)


@pytest.fixture
def two_images(tmp_path: Path) -> Path:
    """A small image first, then the one that is meant; each with its own pixel size."""
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        for number, plane in enumerate((STACK[0, ::2, ::2], STACK[1])):
            size = 0.5 + number
            tif.write(
                plane,
                metadata={"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeY": size},
            )
    return path


def test_of_several_images_the_largest_is_taken_and_said(two_images: Path) -> None:
    image = read_image(two_images)
    np.testing.assert_array_equal(np.asarray(image.data), STACK[1])
    assert image.scale == (1.5, 1.5)
    (note,) = image.notes
    assert "holds 2 images; number 1" in note
    assert "the other is left out: 1" in note


def test_one_of_several_images_can_be_chosen(two_images: Path) -> None:
    image = read_image(two_images, series=0)
    assert (image.data.shape, image.scale, image.notes) == ((10, 15), (0.5, 0.5), ())
    with pytest.raises(ImageError, match="There is no image 2 in the file: it holds 2"):
        read_image(two_images, series=2)


def test_pictures_of_several_frames_are_told_of(tmp_path: Path) -> None:
    frames = [Image.fromarray(plane.astype(np.uint8)) for plane in STACK[:3]]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert "holds 3 pictures" in read_image(tmp_path / "a.gif").notes[0]
    assert read_image(tmp_path / "a.gif", series=2).notes == ()


def test_colours_of_16_bits_in_a_png_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(COLOURS[0]).save(path)
    content = bytearray(path.read_bytes())
    assert read_image(path).notes == ()
    # Only the head is looked at for this; the pixels are those of 8 bits.
    from napari_cellprompt.io.image_files import _has_wide_colours

    content[24] = 16
    path.write_bytes(content)
    assert _has_wide_colours(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_colours_of_any_type_are_colours(dtype: Any, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOURS[0].astype(dtype), photometric="rgb")
    assert read_image(tmp_path / "a.tif").axes == "YXS"


@pytest.mark.parametrize(
    ("name", "pixels", "axes", "said"),
    [
        ("a.npy", COLOURS[0], "YXS", "colours of one picture of 30 x 20 pixels"),
        ("a.npy", COLOURS[0, :2].astype(float), "ZYX", "2 planes of 3 x 30 pixels"),
        ("a.tif", COLOURS[0].astype(np.uint16), "ZYX", "20 planes of 3 x 30 pixels"),
    ],
)
def test_a_last_axis_that_may_be_colours_is_announced(
    name: str, pixels: np.ndarray, axes: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        tifffile.imwrite(path, pixels, photometric="minisblack")
    image = read_image(path)
    assert image.axes == axes
    (note,) = image.notes
    assert note.startswith(f"{name}: Nothing says what its axes are.") and said in note
    # who says what they are is not asked
    assert read_image(path, "YXS").notes == ()


OME_UM = {"axes": "ZYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2}
IMAGEJ = "ImageJ=1.54f\nimages=5\nslices=5\nunit=um\nspacing=500\n"


@pytest.mark.parametrize(
    ("options", "scale", "unit"),
    [
        pytest.param(
            {
                "ome": True,
                "metadata": {
                    "axes": "ZYX",
                    "PhysicalSizeX": 200,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 200,
                    "PhysicalSizeYUnit": "nm",
                    "PhysicalSizeZ": 1.0,
                    "PhysicalSizeZUnit": "µm",
                },
            },
            (1000, 200, 200),
            "nm",
            id="z in um",
        ),
        pytest.param(
            {
                "ome": True,
                "metadata": {**OME_UM, "PhysicalSizeZ": 20, "PhysicalSizeZUnit": "Å"},
            },
            (0.002, 0.2, 0.2),
            "um",
            id="z in angstrom",
        ),
        pytest.param(
            {
                "ome": True,
                "metadata": {
                    **OME_UM,
                    "PhysicalSizeZ": 7,
                    "PhysicalSizeZUnit": "reference frame",
                },
            },
            (1, 0.2, 0.2),
            "um",
            id="z in no length",
        ),
        pytest.param(
            {
                "description": f"{IMAGEJ}yunit=um\nzunit=nm\n",
                "metadata": None,
                "resolution": (5, 5),
            },
            (0.5, 0.2, 0.2),
            "um",
            id="imagej zunit",
        ),
        pytest.param(
            {
                "description": f"{IMAGEJ}yunit=mm\n".replace("500", "-2"),
                "metadata": None,
                "resolution": (5, 5),
            },
            (2, 200, 0.2),
            "um",
            id="imagej yunit, stage going down",
        ),
    ],
)
def test_units_that_differ_from_axis_to_axis(
    options: dict[str, Any], scale: tuple[float, ...], unit: str, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", **options)
    image = read_image(tmp_path / "a.tif")
    assert image.scale == pytest.approx(scale)
    assert image.unit == unit


@pytest.mark.parametrize(
    ("interval", "unit", "known"),
    [(1.0, "sec", "T"), (1000.0, "ms", "T"), (1.0, "frames", ""), (None, "sec", "")],
)
@pytest.mark.parametrize("largest", [9, 70_000], ids=["imagej", "ome"])
def test_an_interval_of_one_second_is_known(
    interval: float | None, unit: str, known: str, largest: int, tmp_path: Path
) -> None:
    metadata = {"axes": "TYX", "tunit": unit, "unit": "um"}
    if interval is not None:
        metadata |= {"finterval": interval}
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata=metadata)
    image = read_image(tmp_path / "a.tif")
    assert image.scale[0] == 1.0
    assert image.known.replace("Y", "").replace("X", "") == known
    labels = np.full((5, 20, 30), largest, np.uint32)
    grid = image.grid
    write_labels(
        tmp_path / "l.tif",
        labels,
        axes=grid.axes,
        scale=grid.scale,
        unit=grid.unit,
        known=grid.known,
    )
    assert ("T" in read_labels(tmp_path / "l.tif").known) == bool(known)


@pytest.mark.parametrize(
    ("scale", "unit", "expected", "written"),
    [
        ((4e-10, 4e-10), "m", (0.4, 0.4), "nm"),
        ((2e-10, 3e-10), "m", (0.2, 0.3), "nm"),
        ((5e-7, 5e-7), "mm", (0.5, 0.5), "nm"),
        ((3e9, 3e9), "nm", (3, 3), "m"),
        ((0.2, 0.2), "um", (0.2, 0.2), "um"),
    ],
)
def test_sizes_too_small_for_a_tiff_get_another_unit(
    scale: tuple[float, float],
    unit: str,
    expected: tuple[float, float],
    written: str,
    tmp_path: Path,
) -> None:
    labels = np.ones((4, 5), np.uint8)
    write_labels(tmp_path / "a.tif", labels, axes="YX", scale=scale, unit=unit)
    found = read_labels(tmp_path / "a.tif")
    assert found.scale == pytest.approx(expected)
    assert found.unit == written


@pytest.mark.parametrize(
    ("stored", "ids"),
    [
        (np.array([[0, 70000], [3, 3]], np.float32), [0, 3, 70000]),
        (np.array([[0, 5], [-1, 5]], np.int32), [0, 5]),
        (np.array([[-1, 5], [-1, 7]], np.float64), [0, 5, 7]),
        (np.array([[0, 2**32 - 1], [0, 0]], np.uint64), [0, 2**32 - 1]),
    ],
    ids=["fiji", "minus one", "float minus one", "64 bits"],
)
def test_whole_numbers_are_labels(
    stored: np.ndarray, ids: list[int], tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stored)
    labels = read_labels(tmp_path / "a.tif").labels
    assert labels.dtype.kind == "u"
    assert np.unique(labels).tolist() == ids


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (np.array([[0, 0.5]], np.float32), "fractions"),
        (np.array([[0, np.nan]], np.float32), "fractions"),
        (np.array([[0, 2**40]], np.uint64), "must lie in 0 to"),
        (np.array([[0, 2.0**40]], np.float64), "must lie in 0 to"),
        (np.array([[0, -7]], np.int16), "must not be negative"),
        (np.zeros((20, 30, 3), np.uint8), "colour image"),
    ],
)
def test_what_is_no_labels(stored: np.ndarray, reason: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stored)
    with pytest.raises(ImageError, match=rf"a\.tif.*{reason}"):
        read_labels(tmp_path / "a.tif")


def test_a_palette_numbers_labels_and_colours_images(tmp_path: Path) -> None:
    labels = np.zeros((20, 30), np.uint8)
    labels[3:9, 4:8] = 7
    picture = Image.fromarray(labels, mode="P")
    picture.putpalette([value for i in range(256) for value in (i, 255 - i, 3)])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png").labels, labels)
    assert read_image(tmp_path / "a.png").axes == "YXS"


def test_minus_one_is_written_as_background(tmp_path: Path) -> None:
    labels = np.array([[-1, 4], [0, -1]], np.int32)
    write_labels(tmp_path / "a.tif", labels, axes="YX")
    assert read_labels(tmp_path / "a.tif").labels.tolist() == [[0, 4], [0, 0]]
