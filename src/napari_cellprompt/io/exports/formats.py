"""Which formats there are, and the one way to write any of them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.label_tiff import write_labels

from . import cellpose, coco, ctc, lineage, measurements, ome_zarr, planes, rois, training
from .subject import Survey, silent, survey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .subject import ExportSubject

__all__ = ["FORMATS", "ExportFormat", "check_name", "format_named", "write_export"]


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A format that labels can be exported to."""

    key: str
    """On the command line."""
    title: str
    """In menus."""
    suffixes: tuple[str, ...]
    """Of which a name must have one; the first is proposed. Empty: any name."""
    losses: Callable[[ExportSubject, Survey], tuple[str, ...]]
    """Sentences on what the format cannot hold; raises where nothing can be written."""
    write: Callable[[Path, ExportSubject, Survey, Callable[[int, int], None]], None]
    folder: bool = False
    """Whether a folder is written."""
    facts: bool = False
    """Whether class, state and trust of objects have a place in it."""
    modules: tuple[str, ...] = ()
    """What has to be installed: the extra ``export`` brings all."""


def _nothing(subject: ExportSubject, seen: Survey) -> tuple[str, ...]:
    del subject, seen
    return ()


def _write_tiff(
    path: Path,
    subject: ExportSubject,
    seen: Survey,
    progress: Callable[[int, int], None] = silent,
) -> None:
    del progress
    grid = subject.grid
    write_labels(
        path,
        subject.labels,
        axes=grid.axes,
        scale=grid.scale,
        unit=grid.unit,
        known=grid.known,
        largest=seen.largest,
    )


FORMATS: tuple[ExportFormat, ...] = (
    ExportFormat("tiff", "Label TIFF", (".tif", ".tiff"), _nothing, _write_tiff),
    ExportFormat(
        "planes",
        "One label TIFF a plane or frame",
        (),
        planes.losses,
        planes.write,
        folder=True,
    ),
    ExportFormat(
        "ome-zarr",
        "OME-Zarr",
        (".zarr",),
        ome_zarr.losses,
        ome_zarr.write,
        folder=True,
        facts=True,
        modules=("zarr",),
    ),
    ExportFormat("ctc", "Cell Tracking Challenge", (), ctc.losses, ctc.write, folder=True),
    ExportFormat(
        "geff",
        "GEFF lineages",
        (".geff",),
        lineage.losses,
        lineage.write,
        folder=True,
        facts=True,
        modules=("geff", "networkx"),
    ),
    ExportFormat("coco", "COCO", (".json",), coco.losses, coco.write, facts=True),
    ExportFormat(
        "roi",
        "ImageJ ROI set",
        (".zip",),
        rois.losses,
        rois.write,
        facts=True,
        modules=("roifile",),
    ),
    ExportFormat("cellpose", "Cellpose", (".npy",), cellpose.losses, cellpose.write),
    ExportFormat(
        "train-cellpose",
        "Training folder for Cellpose",
        (),
        training.CELLPOSE.losses,
        training.CELLPOSE.write,
        folder=True,
    ),
    ExportFormat(
        "train-stardist",
        "Training folder for StarDist",
        (),
        training.STARDIST.losses,
        training.STARDIST.write,
        folder=True,
    ),
    ExportFormat(
        "train-micro-sam",
        "Training folder for micro-sam",
        (),
        training.MICRO_SAM.losses,
        training.MICRO_SAM.write,
        folder=True,
    ),
    ExportFormat(
        "csv",
        "Measurements",
        (".csv",),
        measurements.losses,
        measurements.write,
        facts=True,
    ),
)
"""In the order of menus."""


def format_named(key: str) -> ExportFormat:
    """The format of a name.

    Raises
    ------
    ImageError
        Where there is none.
    """
    for known in FORMATS:
        if known.key == key:
            return known
    names = ", ".join(known.key for known in FORMATS)
    raise ImageError(f"There is no format {key}: choose one of {names}.")


def check_name(path: Path, chosen: ExportFormat, axes: str) -> None:
    """Refuse a name that other programs would not know the format by.

    Raises
    ------
    ImageError
        With the suffix that is wanted.
    """
    if chosen.key == "cellpose" and "T" in axes:
        # A folder with a file a frame.
        return
    if chosen.suffixes and path.suffix.lower() not in chosen.suffixes:
        raise ImageError(
            f"{chosen.title} goes to a name that ends in {' or '.join(chosen.suffixes)}: "
            f"got {path.name}."
        )
    if chosen.key == "cellpose" and not path.name.endswith("_seg.npy"):
        raise ImageError(
            f"Cellpose finds its files by the ending _seg.npy: got {path.name}."
        )


def write_export(
    path: Path,
    subject: ExportSubject,
    key: str,
    say: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] = silent,
) -> None:
    """Write labels in a format, completely or not at all.

    Parameters
    ----------
    path
        A file or a folder, as the format has it. A file is replaced in one step; a folder
        that is there must be empty.
    subject
        What to write.
    key
        Name of the format.
    say
        Told before anything is written what the format cannot hold.
    progress
        Told after each plane.

    Raises
    ------
    ImageError
        When the format cannot hold the labels, or a package is missing.
    SaveError
        When the file cannot be written.
    """
    chosen = format_named(key)
    check_name(path, chosen, subject.axes)
    for module in chosen.modules:
        if importlib.util.find_spec(module) is None:
            raise ImageError(
                f"{chosen.title} needs the package {module}: "
                f"pip install napari-cellprompt[export]."
            )
    seen = survey(subject)
    sentences = chosen.losses(subject, seen)
    told = [facts.class_name or facts.trust for facts in subject.objects.values()]
    if any(fact not in (None, "") for fact in told) and not chosen.facts:
        sentences += (
            f"{chosen.title} has no place for classes and trust: COCO and the "
            f"measurements do.",
        )
    if say is not None:
        for sentence in sentences:
            say(sentence)
    chosen.write(path, subject, seen, progress)
