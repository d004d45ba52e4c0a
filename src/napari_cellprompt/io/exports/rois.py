"""A set of ROIs that Fiji's ROI manager opens: one for each object and plane.

Outlines run along the edges of pixels, so that Fiji fills exactly the pixels of the
object. An object in several parts, or with holes, is a composite ROI.
"""

from __future__ import annotations

import json
import math
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import skimage  # its parts load when they are used

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.masks.labels import masks_of

from .subject import silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import roifile
    from numpy.typing import NDArray

    from .subject import ExportSubject, Survey

__all__ = ["losses", "outlines_of", "write"]

# Where a ROI is, is kept in signed 16 bits.
_LONGEST = 32767
_TRUST_DIGITS = 4


def outlines_of(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Closed polygons along the pixel edges of a mask; those of holes run the other way.

    Parameters
    ----------
    mask
        ``(h, w)``.

    Returns
    -------
    list of ndarray
        ``(K, 2)`` x, y of corners, 0, 0 being the outer corner of the first pixel. Pixels
        that only touch at a corner are apart.
    """
    outlines = []
    contours = skimage.measure.find_contours(
        np.pad(mask, 1).astype(np.float32), 0.5, fully_connected="low"
    )
    for contour in contours:
        # In doubled coordinates, half a pixel is an odd number.
        points = np.rint(2 * contour).astype(np.int64)[:-1]
        following = np.roll(points, -1, axis=0)
        # A contour cuts each pixel edge in its middle. Where it goes from a horizontal to
        # a vertical edge, the corner between them is where the two edges meet.
        level = points[:, 0] % 2 == 1
        turns = level != (following[:, 0] % 2 == 1)
        rows = np.where(level, points[:, 0], following[:, 0])[turns]
        columns = np.where(level, following[:, 1], points[:, 1])[turns]
        # The corner before pixel 0 of the padded mask is at -0.5; padding adds a pixel.
        outlines.append(np.column_stack([(columns - 1) // 2, (rows - 1) // 2]))
    return outlines


def losses(subject: ExportSubject, seen: Survey) -> tuple[str, ...]:
    """Sentences on what the ROIs cannot hold.

    Raises
    ------
    ImageError
        When planes are too long.
    """
    del seen
    if max(subject.length("Y"), subject.length("X")) > _LONGEST:
        raise ImageError(
            f"A ROI lies within {_LONGEST} pixels of the corner, and these planes have "
            f"{subject.length('Y')} x {subject.length('X')}: export another format."
        )
    return ()


def write(
    path: Path,
    subject: ExportSubject,
    seen: Survey,
    progress: Callable[[int, int], None] = silent,
) -> None:
    """Write the set as a zip.

    Names are as ImageJ gives them, ``plane-y-x``, with the label behind; label, class,
    state, trust and parent are properties of each ROI. The grid of the labels is in the
    comment of the zip.
    """
    del seen
    grid = {
        "axes": subject.axes,
        "shape": subject.shape,
        "scale": [subject.step(letter) for letter in subject.axes],
        "unit": subject.unit,
        "known": subject.grid.known,
    }
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as bundle,
    ):
        bundle.comment = json.dumps(grid).encode()
        for number, plane in enumerate(subject.planes(progress), start=1):
            for object_id, mask in masks_of(plane.labels):
                roi = _roi(mask.data, mask.origin)
                if plane.at:
                    roi.position = number
                    roi.c_position = 1
                    roi.z_position = plane.at.get("Z", 0) + 1
                    roi.t_position = plane.at.get("T", 0) + 1
                y, x = (
                    start + length // 2
                    for start, length in zip(mask.origin, mask.data.shape, strict=True)
                )
                roi.name = f"{number:04d}-{y:04d}-{x:04d}-{object_id}"
                roi.properties = _properties(subject, object_id)
                bundle.writestr(f"{roi.name}.roi", roi.tobytes())


def _roi(mask: NDArray[np.bool_], origin: tuple[int, int]) -> roifile.ImagejRoi:
    import roifile

    outlines = [outline + origin[::-1] for outline in outlines_of(mask)]
    (top, left), (height, width) = origin, mask.shape
    roi = roifile.ImagejRoi()
    roi.top, roi.left, roi.bottom, roi.right = top, left, top + height, left + width
    if len(outlines) == 1:
        roi.roitype = roifile.ROI_TYPE.TRACED
        roi.integer_coordinates = (outlines[0] - [left, top]).astype(np.int32)
        roi.n_coordinates = len(outlines[0])
        return roi
    # A path as java.awt.geom.PathIterator has it: 0 moves, 1 draws a line, 4 closes.
    path: list[float] = []
    for outline in outlines:
        for number, (x, y) in enumerate(outline.tolist()):
            path += [min(number, 1), x, y]
        path.append(4)
    roi.roitype = roifile.ROI_TYPE.RECT
    roi.multi_coordinates = np.array(path, dtype=np.float32)
    roi.shape_roi_size = len(path)
    return roi


def _properties(subject: ExportSubject, object_id: int) -> dict[str, Any]:
    facts = subject.facts(object_id)
    said: dict[str, Any] = {
        "object": object_id,
        "name": facts.name,
        "class": facts.class_name,
        "state": facts.state,
    }
    if facts.trust is not None and math.isfinite(facts.trust):
        said["trust"] = round(facts.trust, _TRUST_DIGITS)
    if facts.parent:
        said["parent"] = facts.parent
    return {key: _one_line(value) for key, value in said.items() if value != ""}


def _one_line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value
