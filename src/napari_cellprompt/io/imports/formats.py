"""Which of the formats a file or folder is, and the one way to read any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.image_files import IMAGE_SUFFIXES, LabelGrid
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.objects import ImportedLabels

from . import cellpose, coco, ome_zarr, planes, rois, training

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["IMPORTS", "format_of", "read_import"]

IMPORTS = ("tiff", "planes", "ome-zarr", "ctc", "coco", "roi", "cellpose", "train")
"""Names of the formats, as on the command line."""


def format_of(path: Path) -> str | None:
    """The format of a file or folder by its name and what is in it; None if of none."""
    if path.is_dir():
        return _of_folder(path)
    suffix = path.suffix.lower()
    if path.name.endswith("_seg.npy"):
        return "cellpose"
    if suffix in (".json", ".zip"):
        return {".json": "coco", ".zip": "roi"}[suffix]
    return "tiff" if suffix in IMAGE_SUFFIXES else None


def _of_folder(path: Path) -> str | None:
    if any((path / name).is_file() for name in ("zarr.json", ".zgroup")):
        return "ome-zarr"
    if planes.is_ctc(path):
        return "ctc"
    if next(path.glob("*_seg.npy"), None) is not None:
        return "cellpose"
    if training.is_training(path):
        return "train"
    return "planes" if planes.tiffs_in(path) else None


def read_import(
    path: Path,
    key: str | None = None,
    *,
    axes: str | None = None,
    like: LabelGrid | None = None,
) -> ImportedLabels:
    """Read labels and what is said of their objects.

    Parameters
    ----------
    path
        A file or folder.
    key
        Its format; None looks.
    axes
        Letters of the axes, where the file does not say.
    like
        Grid of the image that the labels belong to: shape for formats that have none, and
        voxel size for those that have none.

    Raises
    ------
    ImageError
        With a sentence on what was wrong.
    """
    if not path.exists():
        raise ImageError(f"There is no file or folder {path}.")
    chosen = format_of(path) if key is None else key
    if chosen == "tiff":
        file = read_labels(path, axes)
        grid = LabelGrid(file.labels.shape, file.axes, file.scale, file.unit, file.known)
        imported = ImportedLabels(file.labels, grid, {})
    elif chosen == "planes":
        imported = planes.read_planes(path, axes)
    elif chosen == "ome-zarr":
        imported = ome_zarr.read_ome_zarr(path)
    elif chosen == "ctc":
        imported = planes.read_ctc(path)
    elif chosen == "coco":
        imported = coco.read_coco(path)
    elif chosen == "roi":
        imported = rois.read_rois(path, like)
    elif chosen == "cellpose" and path.is_dir():
        imported = cellpose.read_seg_folder(path)
    elif chosen == "cellpose":
        imported = cellpose.read_seg(path, axes)
    elif chosen == "train":
        imported = training.read_training(path, like)
    else:
        raise ImageError(
            f"{path.name} is of none of the formats {', '.join(IMPORTS)}: name one that "
            f"it is."
        )
    return _calibrated(imported, like, path.name)


def _calibrated(
    imported: ImportedLabels, like: LabelGrid | None, name: str
) -> ImportedLabels:
    """Labels with the voxel size of the image, where they have none of their own."""
    if like is None:
        return imported
    grid = imported.grid
    if grid.axes != like.axes or tuple(grid.shape) != tuple(like.shape):
        raise ImageError(
            f"{name} ({grid.axes}, {tuple(grid.shape)}) does not lie on the grid of the "
            f"image ({like.axes}, {tuple(like.shape)})."
        )
    if grid.unit != "pixel":
        return imported
    return ImportedLabels(imported.labels, like, imported.objects, imported.notes)
