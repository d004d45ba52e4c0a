"""One label TIFF for each plane or frame, in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cellprompt.core.atomic import making_folder
from napari_cellprompt.io.label_tiff import write_labels

from .subject import silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .subject import ExportSubject, Survey

__all__ = ["losses", "write"]


def losses(subject: ExportSubject, seen: Survey) -> tuple[str, ...]:
    """Sentences on what the files cannot hold."""
    del seen
    outer = [letter.lower() for letter in subject.axes[:-2]]
    if not outer:
        return ()
    return (
        f"A file of one plane has no step along {' and '.join(outer)}: it is lost; the "
        f"places are in the names.",
    )


def write(
    path: Path,
    subject: ExportSubject,
    seen: Survey,
    progress: Callable[[int, int], None] = silent,
) -> None:
    """Write ``NAME_t000_z000.tif`` and so on, all of one type, with the pixel size."""
    with making_folder(path) as folder:
        for plane in subject.planes(progress):
            name = "_".join(part for part in (subject.name, plane.name) if part)
            write_labels(
                folder / f"{name}.tif",
                plane.labels,
                axes="YX",
                scale=(subject.step("Y"), subject.step("X")),
                unit=subject.unit,
                largest=seen.largest,
            )
