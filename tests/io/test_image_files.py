from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io import tiff_images
from napari_cellprompt.io.image_files import read_image


def noise(*shape: int, dtype: Any = np.uint16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "dtype", "options", "axes"),
    [
        pytest.param((20, 30), np.uint16, {}, "YX", id="plane"),
        pytest.param((5, 20, 30), np.uint16, {}, "ZYX", id="plain stack"),
        # What tifffile made of three planes for years: the colours of one.
        pytest.param(
            (3, 20, 30),
            np.uint16,
            {"photometric": "rgb", "planarconfig": "separate"},
            "ZYX",
            id="stack of three",
        ),
        pytest.param((20, 30, 3), np.uint8, {}, "YXS", id="rgb"),
        pytest.param((20, 30, 3), np.uint16, {"photometric": "rgb"}, "YXS", id="rgb16"),
        pytest.param(
            (5, 20, 30),
            np.uint16,
            {"imagej": True, "metadata": {"axes": "TYX"}},
            "TYX",
            id="ij",
        ),
        pytest.param(
            (5, 2, 20, 30),
            np.uint16,
            {"imagej": True, "metadata": {"axes": "ZCYX"}},
            "ZCYX",
            id="ij channels",
        ),
        pytest.param(
            (5, 2, 20, 30),
            np.float32,
            {"ome": True, "metadata": {"axes": "TZYX"}},
            "TZYX",
            id="ome",
        ),
        pytest.param((20, 30), ">u2", {"byteorder": ">"}, "YX", id="big-endian"),
        pytest.param(
            (20, 30), np.uint8, {"compression": "zlib", "tile": (16, 16)}, "YX", id="tiled"
        ),
    ],
)
def test_tiffs(
    shape: tuple[int, ...], dtype: Any, options: dict[str, Any], axes: str, tmp_path: Path
) -> None:
    data = noise(*shape, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, **options)
    image = read_image(tmp_path / "a.tif")
    assert image.axes == axes
    assert len(image.scale) == data.ndim
    np.testing.assert_array_equal(np.asarray(image.data), data)


def test_planar_rgb_gets_its_samples_last(tmp_path: Path) -> None:
    data = noise(3, 20, 30, dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric="rgb", planarconfig="separate", metadata=None
    )
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "YXS"
    np.testing.assert_array_equal(np.asarray(image.data), np.moveaxis(data, 0, -1))


def test_axes_by_the_user_win(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(5, 20, 30))
    assert read_image(tmp_path / "a.tif", "tyx").axes == "TYX"
    with pytest.raises(ImageError, match=r"a\.tif: The axes YX name 2 axes"):
        read_image(tmp_path / "a.tif", "YX")


def test_four_unnamed_axes_are_not_guessed(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(2, 5, 20, 30))
    with pytest.raises(ImageError, match="needs its axes named"):
        read_image(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif", "TZYX").axes == "TZYX"


@pytest.mark.parametrize(
    ("options", "scale", "unit"),
    [
        pytest.param({}, (1, 1, 1), "pixel", id="nothing"),
        pytest.param(
            {
                "imagej": True,
                "resolution": (5, 4),
                "metadata": {"axes": "ZYX", "spacing": 2.0, "unit": "micron"},
            },
            (2, 0.25, 0.2),
            "um",
            id="imagej",
        ),
        pytest.param(
            {
                "imagej": True,
                "metadata": {
                    "axes": "TYX",
                    "finterval": 0.5,
                    "tunit": "min",
                    "unit": "\\u00B5m",
                },
            },
            (30, 1, 1),
            "um",
            id="minutes",
        ),
        pytest.param(
            {
                "ome": True,
                "metadata": {
                    "axes": "TYX",
                    "PhysicalSizeX": 65.0,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 65.0,
                    "PhysicalSizeYUnit": "nm",
                    "TimeIncrement": 200.0,
                    "TimeIncrementUnit": "ms",
                },
            },
            (0.2, 65, 65),
            "nm",
            id="ome",
        ),
        pytest.param(
            {"resolution": (300, 300), "resolutionunit": "INCH"},
            (1, 1, 1),
            "pixel",
            id="dpi",
        ),
    ],
)
def test_calibration(
    options: dict[str, Any], scale: tuple[float, ...], unit: str, tmp_path: Path
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", noise(4, 20, 30), photometric="minisblack", **options
    )
    image = read_image(tmp_path / "a.tif")
    assert image.scale == pytest.approx(scale)
    assert image.unit == unit


@pytest.mark.parametrize("compression", [None, "zlib"], ids=["memory map", "pages"])
def test_large_stacks_stay_on_the_disk(
    compression: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff_images, "_EAGER_BYTES", 1000)
    data = noise(2, 3, 20, 30)
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        ome=True,
        compression=compression,
        metadata={"axes": "TZYX"},
    )
    image = read_image(tmp_path / "a.tif")
    assert isinstance(image.data, np.memmap if compression is None else da.Array)
    assert image.data.shape == data.shape
    np.testing.assert_array_equal(np.asarray(image.data[1, 2, 3:9]), data[1, 2, 3:9])


@pytest.mark.parametrize(
    ("mode", "suffix", "axes", "dtype"),
    [
        ("L", "png", "YX", np.uint8),
        ("RGB", "png", "YXS", np.uint8),
        ("RGBA", "png", "YXS", np.uint8),
        ("P", "png", "YXS", np.uint8),
        ("LA", "png", "YX", np.uint8),
        ("I;16", "png", "YX", np.uint16),
        ("1", "png", "YX", np.bool_),
        ("RGB", "jpg", "YXS", np.uint8),
    ],
)
def test_pictures(mode: str, suffix: str, axes: str, dtype: type, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (30, 20)).save(path)
    image = read_image(path)
    assert image.axes == axes
    assert image.data.shape[:2] == (20, 30)
    assert image.data.dtype == dtype


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="There is no file"):
        read_image(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="There is no file"):
        read_image(tmp_path)
    (tmp_path / "a.tif").touch()
    with pytest.raises(ImageError, match=r"a\.tif is empty"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.txt"])
def test_files_of_no_format(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"no image at all, only a few words")
    with pytest.raises(ImageError, match=f"{name} cannot be read: it is damaged"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7])
def test_files_that_are_cut_short(
    compression: str | None, kept: float, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, noise(4, 64, 64), photometric="minisblack", compression=compression
    )
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ImageError, match=r"a\.tif"):
        read_image(path)


def test_a_compression_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(5, 6))

    def refuse(*_: Any, **__: Any) -> None:
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", refuse)
    with pytest.raises(ImageError, match="pip install imagecodecs"):
        read_image(tmp_path / "a.tif")
