"""Writers and readers of napari's File menu for the formats of other programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_cellprompt.core.images.sampling import ArrayData

__all__ = ["get_reader", "write_export_layer"]

_BY_SUFFIX = {
    ".json": "coco",
    ".zip": "roi",
    ".zarr": "ome-zarr",
    ".geff": "geff",
    ".npy": "cellpose",
    ".csv": "csv",
}
LayerData = tuple[Any, dict[str, Any], str]


def write_export_layer(
    path: str | os.PathLike[str],
    data: ArrayData | Sequence[ArrayData],
    meta: Mapping[str, Any],
) -> list[str]:
    """Write one Labels layer in the format that the name ends in.

    Raises
    ------
    CellpromptError
        When the format cannot hold the labels, or the file cannot be written.
    """
    from napari.utils.notifications import show_info

    from napari_cellprompt.io.exports.formats import write_export
    from napari_cellprompt.layers.exporting import subject_of_data

    target = Path(path)
    subject = subject_of_data(data, meta, str(meta.get("name") or "labels"))
    write_export(target, subject, _BY_SUFFIX[target.suffix.lower()], show_info)
    return [str(target)]


def get_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """A reader for files and folders that hold labels; None for others."""
    from napari_cellprompt.io.imports.formats import format_of

    if not isinstance(path, str | os.PathLike):
        return None
    found = format_of(Path(path))
    if found in (None, "tiff", "planes"):
        # napari reads these itself.
        return None
    return _read


def _read(path: str | Sequence[str]) -> list[LayerData]:
    from napari.utils.notifications import show_info

    from napari_cellprompt.io.imports.formats import read_import

    source = Path(str(path))
    imported = read_import(source)
    for note in imported.notes:
        show_info(note)
    grid = imported.grid
    units = ["second" if axis == "T" else grid.unit for axis in grid.axes]
    meta: dict[str, Any] = {
        "name": source.name.split(".")[0],
        "scale": grid.scale,
        "axis_labels": tuple(grid.axes.lower()),
        "units": tuple(
            unit if axis in grid.known else "pixel"
            for axis, unit in zip(grid.axes, units, strict=True)
        ),
    }
    return [(imported.labels, meta, "labels")]
