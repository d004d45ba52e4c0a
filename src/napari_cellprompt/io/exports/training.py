"""Folders of images and labels from which Cellpose, StarDist and micro-sam train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_cellprompt.core.atomic import making_folder
from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.masks.labels import smallest_dtype

from .subject import plural, silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from .subject import ExportSubject, Survey

__all__ = ["CELLPOSE", "MICRO_SAM", "STARDIST", "Layout"]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a program looks for images and labels.

    Each plane on which there are objects is a pair of files. Objects that are not verified
    keep their labels, and are 1 in the file of the same name in ``ignore``. Where no
    object is verified or needs work, all count as verified.
    """

    program: str
    images: str
    """Folder, or empty."""
    labels: str
    suffix: str = ""
    """Behind the names of labels."""
    negative: bool = False
    """Whether -1 means "ignore" in the labels: the program leaves it out of its loss."""

    def losses(self, subject: ExportSubject, seen: Survey) -> tuple[str, ...]:
        """Sentences on what the folder leaves out.

        Raises
        ------
        ImageError
            Without an image, or without objects.
        """
        if subject.image is None:
            raise ImageError(
                f"A training folder for {self.program} needs the image: --image IMAGE."
            )
        if not seen.frames:
            raise ImageError("There are no objects to train with.")
        said = ["Planes without objects are left out, and there is no voxel size."]
        doubtful = len(unverified(subject, seen))
        if doubtful:
            how = (
                "are -1 in the labels, which StarDist ignores"
                if self.negative
                else f"are marked in 'ignore', which {self.program} does not read by itself"
            )
            said.append(
                f"{plural(doubtful, 'object is', 'objects are')} not verified: their "
                f"pixels {how}."
            )
        elif not _judged(subject, seen):
            said.append(
                "Nothing says which objects are verified: all are taken as if they were."
            )
        return tuple(said)

    def write(
        self,
        path: Path,
        subject: ExportSubject,
        seen: Survey,
        progress: Callable[[int, int], None] = silent,
    ) -> None:
        """Write the folder: images as they are (CYX or YX), labels, and ignore masks."""
        doubtful = np.array(sorted(unverified(subject, seen)), dtype=np.int64)
        dtype = np.dtype(np.int32) if self.negative else smallest_dtype(seen.largest)
        if self.negative and seen.largest > np.iinfo(np.int32).max:
            dtype = np.dtype(np.int64)
        with making_folder(path) as folder:
            for part in {self.images, self.labels, "ignore"} - {""}:
                (folder / part).mkdir()
            for plane in subject.planes(progress):
                if not plane.labels.any():
                    continue
                name = "_".join(text for text in (subject.name, plane.name) if text)
                ignored = np.isin(plane.labels, doubtful)
                labels = plane.labels.astype(dtype)
                if self.negative:
                    labels[ignored] = -1
                pixels = subject.image_plane(plane.at)
                _write(
                    folder / self.images / f"{name}.tif",
                    pixels[0] if len(pixels) == 1 else pixels,
                )
                _write(folder / self.labels / f"{name}{self.suffix}.tif", labels)
                _write(folder / "ignore" / f"{name}.tif", ignored.astype(np.uint8))


def unverified(subject: ExportSubject, seen: Survey) -> set[int]:
    """Objects that nobody found right, where somebody looked at any."""
    if not _judged(subject, seen):
        return set()
    return {key for key in seen.frames if not subject.facts(key).verified}


def _judged(subject: ExportSubject, seen: Survey) -> bool:
    """Whether somebody looked at any; "accepted" is said of all, and is no verdict."""
    return any(
        subject.facts(key).state in ("verified", "needs work") for key in seen.frames
    )


def _write(path: Path, pixels: NDArray[Any]) -> None:
    tifffile.imwrite(
        path,
        pixels,
        photometric="minisblack",
        compression="zlib",
        metadata={"axes": "CYX"[-pixels.ndim :]},
    )


CELLPOSE = Layout("Cellpose", "", "", "_masks")
STARDIST = Layout("StarDist", "images", "masks", negative=True)
MICRO_SAM = Layout("micro-sam", "images", "labels")
