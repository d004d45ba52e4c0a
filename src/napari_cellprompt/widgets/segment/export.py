"""Saves the objects as a label TIFF, without stopping the window."""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt._writer import write_layer
from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.calibration import calibrated_meta
from napari_cellprompt.widgets.shared.save_dialog import ask_where_to_save

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image, Labels
    from qtpy.QtWidgets import QWidget

    from napari_cellprompt.widgets.shared.bridge import ResultBridge

__all__ = ["Exporter", "suggested_path"]


def suggested_path(labels: Labels, image: Image | None) -> Path:
    """A name beside the image's file, or in the home folder when it has none."""
    source = None if image is None else image.source.path
    folder = Path(source).parent if source else Path.home()
    stem = Path(source).stem if source else (image or labels).name
    clean = re.sub(r"[^\w.-]+", "_", stem).strip("_.") or "image"
    return folder / f"{clean}_labels.tif"


class Exporter:
    """Writes Labels layers in a thread of its own.

    Parameters
    ----------
    bridge : ResultBridge
        Brings the news back.
    say : callable
        ``say(text, warn)`` tells the user.
    """

    def __init__(self, bridge: ResultBridge, say: Callable[[str, bool], None]) -> None:
        self._bridge = bridge
        self._say = say
        # Not the inference thread: writing a large stack must not delay a click.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="cellprompt-export")

    def ask(self, parent: QWidget, labels: Labels, image: Image | None) -> None:
        """Ask for a file name and write there."""
        path = ask_where_to_save(
            parent,
            "Export objects as a label TIFF",
            suggested_path(labels, image),
            "TIFF",
            (".tif", ".tiff"),
        )
        if path is not None:
            self.write(path, labels, image)

    def write(
        self, path: Path, labels: Labels, image: Image | None = None
    ) -> Future[list[str]]:
        """Write a layer as it is now; the outcome is told when it is known.

        The voxel size is that of the layer or, where it has none, of the image's file.
        """
        data, attributes, _ = labels.as_layer_data_tuple()
        meta = calibrated_meta(attributes, labels.ndim, image)
        self._say(f"Writing {path.name} ...", False)
        future = self._pool.submit(write_layer, path, data, meta)

        def done(finished: Future[list[str]]) -> None:
            try:
                finished.result()
            except CellpromptError as error:
                self._say(str(error), True)
            except Exception as error:
                self._say(f"{path.name} was not written: {error}", True)
            else:
                self._say(f"'{labels.name}' is saved as {path}.", False)

        self._bridge.deliver(future, done)
        return future

    def close(self) -> None:
        """Take no more; what is being written is finished."""
        self._pool.shutdown(wait=False)
