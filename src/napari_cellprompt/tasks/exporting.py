"""Labels from a file to another format, and back: one call for scripts and commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.exports.formats import check_name, format_named, write_export
from napari_cellprompt.io.exports.subject import ExportSubject
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.imports.formats import read_import
from napari_cellprompt.io.imports.lineage import read_lineage
from napari_cellprompt.io.imports.tables import read_objects, write_objects
from napari_cellprompt.io.outputs import check_label_file, check_output, save_labels

from .report import SILENT, Report, counted

if TYPE_CHECKING:
    from pathlib import Path

    from napari_cellprompt.io.objects import ObjectFacts

    from .requests import ExportRequest, ImportRequest

__all__ = ["run_export", "run_import"]


def run_export(request: ExportRequest, report: Report = SILENT) -> None:
    """Write labels in another format; nothing is written where it cannot hold them.

    Parameters
    ----------
    request
        Files and format.
    report
        Told what the format cannot hold before anything is written, then plane by plane.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    """
    chosen = format_named(request.to)
    inputs = (request.labels, request.image, request.objects)
    _check_place(request.output, inputs)
    imported = read_import(request.labels, axes=request.axes)
    for note in imported.notes:
        report.say(note)
    check_name(request.output, chosen, imported.grid.axes)
    if not (chosen.folder or (chosen.key == "cellpose" and "T" in imported.grid.axes)):
        check_output(request.output, inputs)
    image = None
    if request.image is not None:
        image = read_image(request.image, request.image_axes, lazy=True)
        for note in image.notes:
            report.say(note)
    grid = imported.grid
    if image is not None and grid.unit == "pixel" and image.grid.axes == grid.axes:
        # Labels of other programs have no voxel size, but lie on the image's grid.
        grid = image.grid
    objects = dict(imported.objects)
    if request.objects is not None:
        objects |= _facts_of(request.objects)
    subject = ExportSubject(
        imported.labels,
        grid,
        _stem(request.image or request.labels),
        image,
        objects,
    )
    write_export(request.output, subject, request.to, report.say, report.progress)
    report.say(f"{chosen.title} written to {request.output}")


def run_import(request: ImportRequest, report: Report = SILENT) -> None:
    """Write labels of another format as a label TIFF, and a table of what they say.

    Parameters
    ----------
    request
        Files and format.
    report
        Told what was left out or assumed.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    """
    table = request.output.with_name(f"{request.output.stem}_objects.csv")
    inputs = (request.source, request.like)
    _check_place(request.output, inputs)
    check_label_file(request.output, inputs)
    check_output(table, inputs)
    like = None
    if request.like is not None:
        like = read_image(request.like, lazy=True).grid
    imported = read_import(
        request.source, request.source_format, axes=request.axes, like=like
    )
    for note in imported.notes:
        report.say(note)
    check_label_file(request.output, inputs, imported.grid)
    save_labels(request.output, imported.labels, imported.grid)
    report.say(f"labels written to {request.output}")
    if imported.objects:
        write_objects(table, imported.objects)
        report.say(f"{counted(len(imported.objects))} written to {table}")


def _check_place(output: Path, inputs: tuple[Path | None, ...]) -> None:
    """Refuse a folder that an input lies in, and what lies in an input that is a folder."""
    place = output.resolve()
    for source in inputs:
        if source is None:
            continue
        known = source.resolve()
        if known == place or known in place.parents or place in known.parents:
            raise ImageError(
                f"{output} would change {source}, which is read here: choose another name "
                f"for the output."
            )


def _facts_of(path: Path) -> dict[int, ObjectFacts]:
    """Class, state, trust and parent from a table, or from a lineage."""
    return read_lineage(path) if path.is_dir() else read_objects(path)


def _stem(path: Path) -> str:
    stem = path.name.split(".")[0].removesuffix("_seg").removesuffix("_labels")
    return re.sub(r"[^\w-]+", "_", stem).strip("_") or "labels"
