"""``_seg.npy``, what the window of Cellpose opens and saves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.atomic import making_folder, replacing
from napari_cellprompt.core.masks.labels import smallest_dtype

from .subject import silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from .subject import ExportSubject, Survey

__all__ = ["losses", "write"]


def losses(subject: ExportSubject, seen: Survey) -> tuple[str, ...]:
    """Sentences on what the file cannot hold."""
    del seen
    said = ["A _seg.npy has no voxel size."]
    if "T" in subject.axes:
        said.append("Cellpose knows no time: each frame gets a file of its own.")
    return tuple(said)


def write(
    path: Path,
    subject: ExportSubject,
    seen: Survey,
    progress: Callable[[int, int], None] = silent,
) -> None:
    """Write one file, or, of a movie, a folder with a file for each frame.

    The file is one pickled dictionary: its masks have to be in memory at once.
    """
    if "T" not in subject.axes:
        with replacing(path) as temporary:
            _write_frame(temporary, subject, seen, {}, subject.name)
        progress(1, 1)
        return
    frames = subject.length("T")
    with making_folder(path) as folder:
        for time in range(frames):
            name = f"{subject.name}_t{time:03d}"
            _write_frame(folder / f"{name}_seg.npy", subject, seen, {"T": time}, name)
            progress(time + 1, frames)


def _write_frame(
    path: Path, subject: ExportSubject, seen: Survey, at: dict[str, int], name: str
) -> None:
    # Cellpose reads 16 or 32 bits, and has no use for 8.
    dtype = np.promote_types(smallest_dtype(seen.largest), np.uint16)
    if "Z" in subject.axes:
        masks = np.stack(
            [subject.plane(at | {"Z": z}).astype(dtype) for z in range(subject.length("Z"))]
        )
    else:
        masks = subject.plane(at).astype(dtype)
    content: dict[str, Any] = {
        "masks": masks,
        "outlines": _outlines(masks),
        "filename": f"{name}.tif",
        "flows": [],
        "ismanual": np.ones(len(np.unique(masks)) - 1 if masks.any() else 0, dtype=bool),
        "chan_choose": [0, 0],
        "diameter": None,
        "est_diam": None,
    }
    with path.open("wb") as file:
        np.save(file, np.array(content, dtype=object), allow_pickle=True)


def _outlines(masks: NDArray[Any]) -> NDArray[Any]:
    """Labels of those pixels that have another label as neighbour in the plane."""
    padded = np.pad(masks, [(0, 0)] * (masks.ndim - 2) + [(1, 1), (1, 1)])
    inner = np.ones(masks.shape, dtype=bool)
    for part in (
        padded[..., :-2, 1:-1],
        padded[..., 2:, 1:-1],
        padded[..., 1:-1, :-2],
        padded[..., 1:-1, 2:],
    ):
        inner &= part == masks
    return np.where(inner, 0, masks).astype(masks.dtype)
