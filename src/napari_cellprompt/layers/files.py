"""The files that layers were read from, which no button may write over."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from napari.layers import Image, Layer

__all__ = [
    "FILE_KEY",
    "image_file_of",
    "layer_read_from",
    "metadata_of_labels",
    "open_layers",
]

FILE_KEY = "file"
"""In a layer's metadata under this package's name: its file, where napari knows none."""
_IMAGE_KEY = "image file"
_METADATA_KEY = "napari-cellprompt"


def metadata_of_labels(image: Image) -> dict[str, Any]:
    """Metadata of a layer for objects: where the image that they are made on came from."""
    path = image.source.path
    return {_METADATA_KEY: {_IMAGE_KEY: str(path)}} if path else {}


def image_file_of(metadata: Mapping[str, Any]) -> Path | None:
    """The file of the image that objects were made on, as their layer's metadata has it."""
    own = metadata.get(_METADATA_KEY)
    path = own.get(_IMAGE_KEY) if isinstance(own, dict) else None
    return Path(str(path)) if path else None


def open_layers() -> list[Layer]:
    """The layers of all viewers of this process."""
    module = sys.modules.get("napari.viewer")
    if module is None:
        return []
    # napari has a public way to the last viewer only, and this is about all of them.
    viewers = list(module.Viewer._instances)
    return [layer for viewer in viewers for layer in viewer.layers]


def layer_read_from(path: Path, layers: Iterable[Layer] | None = None) -> Layer | None:
    """A layer that was read from a file, or from something inside that folder.

    Parameters
    ----------
    path : Path
        What is to be written. Links to a layer's file are that file.
    layers : iterable of Layer, optional
        Where to look; all open ones when left out.
    """
    for layer in open_layers() if layers is None else layers:
        if any(_touches(path, source) for source in _files_of(layer)):
            return layer
    return None


def _files_of(layer: Layer) -> Iterator[Path]:
    """Files and folders behind a layer and behind what it is a copy of."""
    own: Any = layer.metadata.get(_METADATA_KEY)
    if isinstance(own, dict) and own.get(FILE_KEY):
        yield Path(str(own[FILE_KEY]))
    seen = 0
    source: Any = layer.source
    while source is not None and seen < 10:
        if source.path:
            yield Path(str(source.path))
        parent = None if source.parent is None else source.parent()
        source, seen = None if parent is None else parent.source, seen + 1


def _touches(target: Path, source: Path) -> bool:
    """Whether writing there changes what a layer was read from."""
    try:
        if target.exists() and source.exists() and target.samefile(source):
            return True
        place, behind = target.resolve(), source.resolve()
    except OSError:
        return False
    # a zarr is a folder: nothing is to be written into it either
    inside = behind in place.parents and behind.suffix.lower() in (".zarr", ".n5")
    return place == behind or inside
