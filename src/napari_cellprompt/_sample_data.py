"""What File > Open Sample offers: simulated nuclei, and real images of scikit-image."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LayerData = tuple["NDArray[Any]", dict[str, Any], str]

# Voxel sizes as written into the files (see sample_data/README.md).
_NUCLEI_2D = {
    "scale": (0.325, 0.325),
    "units": ("um", "um"),
    "axis_labels": ("y", "x"),
}
_NUCLEI_3D = {
    "scale": (1.0, 0.25, 0.25),
    "units": ("um", "um", "um"),
    "axis_labels": ("z", "y", "x"),
}
_DIVISIONS = {
    "scale": (300.0, 0.4, 0.4),
    "units": ("s", "um", "um"),
    "axis_labels": ("t", "y", "x"),
}


def _read(name: str) -> NDArray[Any]:
    """One TIFF of the package."""
    import tifffile

    resource = resources.files("napari_cellprompt") / "sample_data" / name
    with resources.as_file(resource) as path:
        return tifffile.imread(path)


def _image(name: str, title: str, calibration: dict[str, Any]) -> list[LayerData]:
    import numpy as np

    data = _read(f"{name}.tif")
    # Not the extremes: few bright pixels would leave the nuclei dark.
    limits = tuple(float(value) for value in np.percentile(data, (0.1, 99.9)))
    return [(data, {"name": title, "contrast_limits": limits, **calibration}, "image")]


def _truth(name: str, title: str, calibration: dict[str, Any]) -> list[LayerData]:
    return [(_read(f"{name}_truth.tif"), {"name": title, **calibration}, "labels")]


def nuclei_2d() -> list[LayerData]:
    """Simulated nuclei on one plane, ``(512, 512)`` uint16, 0.325 um pixels."""
    return _image("nuclei_2d", "nuclei", _NUCLEI_2D)


def nuclei_2d_truth() -> list[LayerData]:
    """Labels of the simulated nuclei on one plane."""
    return _truth("nuclei_2d", "nuclei truth", _NUCLEI_2D)


def nuclei_3d() -> list[LayerData]:
    """Simulated nuclei in a z-stack, ``(24, 160, 160)`` uint16, 1 x 0.25 x 0.25 um."""
    return _image("nuclei_3d", "nuclei stack", _NUCLEI_3D)


def nuclei_3d_truth() -> list[LayerData]:
    """Labels of the simulated nuclei in the z-stack."""
    return _truth("nuclei_3d", "nuclei stack truth", _NUCLEI_3D)


def divisions() -> list[LayerData]:
    """Simulated dividing nuclei, ``(20, 176, 176)`` uint16, 300 s and 0.4 um pixels."""
    return _image("divisions", "dividing nuclei", _DIVISIONS)


def divisions_truth() -> list[LayerData]:
    """Labels of the dividing nuclei, one per track."""
    return _truth("divisions", "dividing nuclei truth", _DIVISIONS)


def _from_skimage(name: str) -> NDArray[Any]:
    """An image that lies inside the scikit-image package; never downloads.

    Raises
    ------
    ImageError
        When this version of scikit-image does not hold the file.
    """
    import numpy as np
    import skimage
    from PIL import Image

    path = Path(skimage.__file__).parent / "data" / name
    if not path.is_file():
        raise ImageError(
            f"The installed scikit-image does not hold the sample image {name}: "
            f"there is no {path}."
        )
    with Image.open(path) as image:
        return np.asarray(image)


def phase_cell() -> list[LayerData]:
    """A cell in quantitative phase, ``(660, 550)`` uint8, 0.107 um pixels, CC0."""
    meta = {"name": "cell", "scale": (0.107, 0.107), "units": ("um", "um")}
    return [(_from_skimage("cell.png"), meta, "image")]


def tissue() -> list[LayerData]:
    """Colon tissue with an immunostain, ``(512, 512, 3)`` uint8 RGB."""
    return [(_from_skimage("ihc.png"), {"name": "tissue", "rgb": True}, "image")]
