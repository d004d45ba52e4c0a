"""Labels from ROI sets of ImageJ."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.draw import polygon

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.io.image_files import LabelGrid
from napari_cellprompt.io.objects import ImportedLabels, ObjectFacts

from .drawing import stacked
from .grids import grid_from

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import roifile
    from numpy.typing import NDArray

__all__ = ["fill", "read_rois"]

_AREAS = {"POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED"}


def read_rois(path: Path, like: LabelGrid | None = None) -> ImportedLabels:
    """Read a ROI set; each ROI with an area is an object, or a plane of one.

    A set that this package wrote says itself of what shape the labels are, and which ROIs
    are one object. Of another set, ``like`` says the shape, and each ROI is an object.

    Parameters
    ----------
    path
        A zip of ROIs.
    like
        The grid of the image.

    Raises
    ------
    ImageError
        Where the set cannot be read, or nothing says of what shape the labels are.
    """
    try:
        import roifile
    except ImportError as error:
        raise ImageError(
            "ImageJ ROI sets need the package roifile: "
            "pip install napari-cellprompt[export]."
        ) from error
    try:
        with zipfile.ZipFile(path) as bundle:
            comment = bundle.comment
            rois = [
                roifile.ImagejRoi.frombytes(bundle.read(name))
                for name in bundle.namelist()
                if name.lower().endswith(".roi")
            ]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ImageError(f"{path.name} is no ROI set: {error}.") from error
    ours = _comment(comment)
    if ours is None and like is None:
        raise ImageError(
            f"{path.name} does not say of what size the image is: give it with "
            f"--like IMAGE."
        )
    grid = grid_from(ours, path.name) if ours is not None else like
    return _labels(path.name, rois, grid)  # type: ignore[arg-type]


def fill(
    outlines: Sequence[NDArray[Any]], origin: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Pixels whose centre lies within an odd number of closed polygons.

    Parameters
    ----------
    outlines
        ``(K, 2)`` x, y of corners; 0, 0 is the outer corner of the first pixel.
    origin, shape
        Row and column of the first pixel, rows and columns of the result.
    """
    inside = np.zeros(shape, dtype=bool)
    for outline in outlines:
        corners = np.asarray(outline, dtype=float) - (origin[1], origin[0])
        steps = np.diff(corners, axis=0, append=corners[:1])
        upright = np.all((steps == 0).any(axis=1))
        if upright and np.array_equal(corners, np.rint(corners)):
            inside ^= _between(corners.astype(np.int64), shape)
            continue
        # Shifted so that pixel centres are at integers.
        rows, columns = polygon(corners[:, 1] - 0.5, corners[:, 0] - 0.5, shape)
        inside[rows, columns] ^= True
    return inside


def _between(corners: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill along rows between the upright edges of a polygon on the grid of pixels."""
    following = np.roll(corners, -1, axis=0)
    height, width = shape
    switches = np.zeros((height, width + 1), dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners.tolist(), following.tolist(), strict=True):
        if x0 == x1:
            top, bottom = max(min(y0, y1), 0), min(max(y0, y1), height)
            switches[top:bottom, min(max(x0, 0), width)] ^= True
    filled: NDArray[np.bool_] = np.logical_xor.accumulate(switches, axis=1)[:, :-1]
    return filled


def _comment(comment: bytes) -> Any:
    try:
        said = json.loads(comment.decode("utf-8"))
    except ValueError:
        return None
    return said if isinstance(said, dict) and "axes" in said else None


def _labels(
    name: str, rois: Sequence[roifile.ImagejRoi], grid: LabelGrid
) -> ImportedLabels:
    outer, size = grid.shape[:-2], (int(grid.shape[-2]), int(grid.shape[-1]))
    drawn: dict[tuple[int, ...], list[tuple[int, roifile.ImagejRoi]]] = {}
    objects: dict[int, ObjectFacts] = {}
    skipped = outside = 0
    for number, roi in enumerate(rois, start=1):
        if roi.roitype.name not in _AREAS:
            skipped += 1
            continue
        place = _place(roi, grid)
        if any(not 0 <= p < n for p, n in zip(place, outer, strict=True)):
            outside += 1
            continue
        said = roi.properties
        key = int(said.get("object", number))
        objects[key] = _facts(said)
        drawn.setdefault(place, []).append((key, roi))
    shared = 0

    def draw(place: tuple[int, ...]) -> NDArray[Any]:
        nonlocal shared
        plane = np.zeros(size, dtype)
        for key, roi in drawn.get(place, ()):
            shared += _draw(plane, key, roi)
        return plane

    dtype = smallest_dtype(max(objects, default=0))
    labels = stacked(draw, outer, size, dtype)
    notes = []
    if skipped:
        notes.append(f"{skipped} ROIs of {name} are lines or points, and left out.")
    if outside:
        notes.append(f"{outside} ROIs of {name} lie on planes that the image has not.")
    if shared:
        notes.append(
            f"{shared} pixels belong to two ROIs: labels hold one object a pixel, the "
            f"first keeps them."
        )
    return ImportedLabels(labels, grid, objects, tuple(notes))


def _draw(plane: NDArray[Any], key: int, roi: roifile.ImagejRoi) -> int:
    """Put a ROI where nothing is yet; returns how many of its pixels were taken."""
    outlines = [np.asarray(part, dtype=float) for part in roi.coordinates(multi=True)]
    if not outlines or not all(len(part) for part in outlines):
        return 0
    corners = np.concatenate(outlines)
    left, top = np.floor(corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int)
    top, left = max(top, 0), max(left, 0)
    bottom, right = min(bottom, plane.shape[0]), min(right, plane.shape[1])
    if bottom <= top or right <= left:
        return 0
    mask = fill(outlines, (int(top), int(left)), (int(bottom - top), int(right - left)))
    part = plane[top:bottom, left:right]
    taken = int(np.count_nonzero(mask & (part > 0)))
    part[mask & (part == 0)] = key
    return taken


def _place(roi: roifile.ImagejRoi, grid: LabelGrid) -> tuple[int, ...]:
    """Index along the outer axes; ROIs on all planes are put on the first."""
    outer = grid.axes[:-2]
    if roi.z_position > 0 or roi.t_position > 0:
        named = {"Z": roi.z_position, "T": roi.t_position}
        return tuple(max(named[letter], 1) - 1 for letter in outer)
    if not outer:
        return ()
    number = max(int(roi.position), 1) - 1
    lengths = grid.shape[:-2]
    if number >= int(np.prod(lengths)):
        return tuple(lengths)
    return tuple(int(n) for n in np.unravel_index(number, lengths))


def _facts(said: dict[str, Any]) -> ObjectFacts:
    trust, parent = said.get("trust"), said.get("parent")
    return ObjectFacts(
        name=str(said.get("name", "")),
        class_name=str(said.get("class", "")),
        state=str(said.get("state", "")),
        trust=float(trust) if isinstance(trust, int | float) else None,
        parent=int(parent) if isinstance(parent, int) and parent > 0 else None,
    )
