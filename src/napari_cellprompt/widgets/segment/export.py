"""Saves the objects in a format of the user's choice, without stopping the window."""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellprompt._writer import write_layer
from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.io.exports.formats import FORMATS, ExportFormat, write_export
from napari_cellprompt.layers.calibration import calibrated_meta
from napari_cellprompt.layers.exporting import subject_of
from napari_cellprompt.layers.meta import axes_of_layer
from napari_cellprompt.widgets.shared.save_dialog import SaveKind, ask_kind_and_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.layers import Image, Labels
    from qtpy.QtWidgets import QWidget

    from napari_cellprompt.io.exports.subject import ExportSubject
    from napari_cellprompt.session.objects import ObjectRecord
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
    written : callable
        ``written(labels, path)`` is told what is in a file.
    """

    def __init__(
        self,
        bridge: ResultBridge,
        say: Callable[[str, bool], None],
        written: Callable[[Labels, Path], None] = lambda labels, path: None,
    ) -> None:
        self._bridge = bridge
        self._say = say
        self._written = written
        # Not the inference thread: writing a large stack must not delay a click.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="cellprompt-export")

    def ask(
        self,
        parent: QWidget,
        labels: Labels,
        image: Image | None,
        records: Iterable[ObjectRecord] = (),
        *,
        channel_axis: int | None = None,
    ) -> None:
        """Ask for a format and a name, and write there.

        Parameters
        ----------
        parent : QWidget
            Below the dialog.
        labels : napari.layers.Labels
            What to write.
        image : napari.layers.Image or None
            For grey values, and for the voxel size of its file.
        records : iterable of ObjectRecord
            What is known of the objects.
        channel_axis : int, optional
            Axis of the image that holds channels.
        """
        movie = "T" in axes_of_layer(labels.ndim, labels.as_layer_data_tuple()[1])
        kinds = {_kind(known, movie=movie): known.key for known in FORMATS}
        chosen = ask_kind_and_place(
            parent, "Export objects", suggested_path(labels, image), list(kinds)
        )
        if chosen is None:
            return
        path, kind = chosen
        if kinds[kind] == "tiff":
            self.write(path, labels, image)
            return
        try:
            subject = subject_of(labels, image, records, channel_axis=channel_axis)
        except CellpromptError as error:
            self._say(str(error), True)
            return
        self._export(path, subject, kinds[kind], labels)

    def _export(self, path: Path, subject: ExportSubject, key: str, labels: Labels) -> None:
        """Write in another format than the TIFF; what it cannot hold is said first."""
        notes: list[str] = []

        def tell(sentence: str) -> None:
            notes.append(sentence)
            text = f"Writing {path.name} ... {sentence}"
            self._bridge.post(lambda text: self._say(text, False), text)

        self._say(f"Writing {path.name} ...", False)
        self._deliver(
            self._pool.submit(write_export, path, subject, key, tell),
            path,
            labels,
            lambda: " ".join((f"'{labels.name}' is saved as {path}.", *notes)),
        )

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
        self._deliver(future, path, labels, lambda: f"'{labels.name}' is saved as {path}.")
        return future

    def _deliver(
        self, future: Future[Any], path: Path, labels: Labels, success: Callable[[], str]
    ) -> None:
        """Tell how it went, once that is known."""

        def done(finished: Future[Any]) -> None:
            try:
                finished.result()
            except CellpromptError as error:
                self._say(str(error), True)
            except Exception as error:
                self._say(f"{path.name} was not written: {error}", True)
            else:
                self._say(success(), False)
                self._written(labels, path)

        self._bridge.deliver(future, done)

    def close(self) -> None:
        """Take no more; what is being written is finished."""
        self._pool.shutdown(wait=False)


def _kind(known: ExportFormat, *, movie: bool) -> SaveKind:
    """A format as the dialog has it."""
    if known.key == "cellpose":
        # Of a movie, a folder with a file a frame.
        return SaveKind(known.title, () if movie else ("_seg.npy",), folder=movie)
    return SaveKind(known.title, known.suffixes, folder=known.folder)
