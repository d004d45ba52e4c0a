"""Labels from ``_seg.npy`` files of Cellpose, and from training folders."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.io.folders import natural_order
from napari_cellprompt.io.image_files import LabelGrid
from napari_cellprompt.io.objects import ImportedLabels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_seg", "read_seg_folder"]

# A pickle can run any program. These are all that an array in a dictionary needs.
_ALLOWED = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *(
        (f"numpy.{core}.multiarray", name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    """Unpickles dictionaries of arrays and numbers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse everything that is not a part of an array."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it wants to run {module}.{name}")
        return super().find_class(module, name)


def read_seg(path: Path, axes: str | None = None) -> ImportedLabels:
    """Read the masks of a ``_seg.npy``; 2D, or ZYX unless ``axes`` says otherwise.

    Raises
    ------
    ImageError
        Where there are no masks in it, or it holds more than arrays.
    """
    masks = _masks(path)
    letters = (axes or "ZYX"[-masks.ndim :]).upper()
    if len(letters) != masks.ndim:
        raise ImageError(f"{path.name} has {masks.ndim} axes, not {letters}.")
    return ImportedLabels(
        masks, LabelGrid(masks.shape, letters, (1.0,) * masks.ndim, "pixel"), {}
    )


def read_seg_folder(folder: Path) -> ImportedLabels:
    """Read the ``_seg.npy`` files of a folder as the frames of a movie.

    Raises
    ------
    ImageError
        Where there are none, or they do not fit together.
    """
    files = sorted(folder.glob("*_seg.npy"), key=natural_order)
    if not files:
        raise ImageError(f"The folder {folder} holds no _seg.npy files.")
    frames = [_masks(path) for path in files]
    if len({frame.shape for frame in frames}) != 1:
        raise ImageError(f"The masks in {folder.name} are not all of one size.")
    movie = np.stack(frames)
    letters = "T" + "ZYX"[-frames[0].ndim :]
    return ImportedLabels(
        movie,
        LabelGrid(movie.shape, letters, (1.0,) * movie.ndim, "pixel"),
        {},
        (f"The {len(files)} files of {folder.name} are the frames of a movie.",),
    )


def _masks(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read(file)
            if shape != () or dtype != np.dtype(object):
                raise ImageError(f"{path.name} holds no dictionary, as Cellpose writes it.")
            content = _ArraysOnly(file).load()
    except ImageError:
        raise
    # Damaged pickles raise errors of many kinds.
    except Exception as error:
        raise ImageError(
            f"{path.name} cannot be read as a _seg.npy of Cellpose: {error}."
        ) from error
    content = content.item() if isinstance(content, np.ndarray) else content
    masks = content.get("masks") if isinstance(content, dict) else None
    if not isinstance(masks, np.ndarray) or masks.dtype.kind not in "iu":
        raise ImageError(f"{path.name} holds no masks.")
    masks = np.squeeze(masks, axis=0) if masks.ndim == 3 and len(masks) == 1 else masks
    if masks.ndim not in (2, 3) or masks.size == 0:
        raise ImageError(
            f"{path.name}: masks of shape {masks.shape} are no plane or stack."
        )
    masks = np.maximum(masks, 0)
    return masks.astype(smallest_dtype(int(masks.max())))
