"""A folder of images that are worked on one after the other, and what is done of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.folders import images_in

__all__ = ["Series"]

_LABELS = "_labels.tif"


@dataclass(frozen=True, slots=True)
class Series:
    """Images and where the labels of each go.

    An image is finished when its labels are there: files are written whole or not at
    all, so nothing else needs to be remembered.
    """

    images: tuple[Path, ...]
    output: Path

    @classmethod
    def of(cls, folder: Path, output: Path) -> Series:
        """All images of a folder in natural order, without labels written there.

        Raises
        ------
        ImageError
            Where there is no such folder or no image in it, or two of its images would
            write the same labels.
        """
        if not folder.is_dir():
            raise ImageError(f"{folder} is no folder.")
        images = [
            path for path in images_in(folder) if not path.name.lower().endswith(_LABELS)
        ]
        if not images:
            raise ImageError(f"There are no TIFF, PNG or JPEG images in {folder}.")
        stems: dict[str, Path] = {}
        for path in images:
            if path.stem in stems:
                raise ImageError(
                    f"{stems[path.stem].name} and {path.name} would both write "
                    f"{path.stem}{_LABELS}: rename one of them."
                )
            stems[path.stem] = path
        return cls(tuple(images), output)

    def labels_of(self, image: Path) -> Path:
        """Where the labels of an image go."""
        return self.output / f"{image.stem}{_LABELS}"

    def is_finished(self, image: Path) -> bool:
        """Whether the labels of an image are there."""
        return self.labels_of(image).is_file()

    @property
    def left(self) -> tuple[Path, ...]:
        """The images that are not finished."""
        return tuple(image for image in self.images if not self.is_finished(image))

    def after(
        self, image: Path | None, *, step: int = 1, finished: bool = False
    ) -> Path | None:
        """The next image forwards or backwards; None at the end.

        Parameters
        ----------
        image
            Where to start; None: at the end that ``step`` leads away from.
        step
            1 or -1.
        finished
            Whether images that have their labels count.
        """
        images = self.images if step > 0 else self.images[::-1]
        start = 0 if image not in images else images.index(image) + 1
        wanted = (p for p in images[start:] if finished or not self.is_finished(p))
        return next(wanted, None)
