"""The Series dock widget: the images of a folder, one after the other."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Points, Shapes
from qtpy.compat import isalive
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QProgressBar,
    QWidget,
)

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.files import FILE_KEY
from napari_cellprompt.layers.ownership import plain
from napari_cellprompt.tasks.series import Series
from napari_cellprompt.widgets.segment.export import Exporter
from napari_cellprompt.widgets.shared.body import Body
from napari_cellprompt.widgets.shared.bridge import ResultBridge, complaint
from napari_cellprompt.widgets.shared.docks import (
    find_dock,
    has_left_dock,
    open_beside,
)
from napari_cellprompt.widgets.shared.keys import SERIES_KEYS, KeyBinder, name_of
from napari_cellprompt.widgets.shared.looks import (
    Accent,
    grid_of,
    ignore_state,
    push_button,
    text_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from napari.layers import Image, Labels, Layer
    from qtpy.QtCore import QEvent

    from napari_cellprompt.widgets.segment.widget import SegmentWidget

__all__ = ["SeriesWidget"]

_COUNTED = 1 << 22
"""Labels of more pixels are not counted: that would hold the window."""


class SeriesWidget(QWidget):
    """Opens image after image, saves the labels of each, and skips what is finished.

    The settings of Segment stay as they are from image to image. Where Few-shot has
    examples, they are applied to each image as it opens.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that the widget is docked in; Segment is opened beside it.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer = plain(viewer)
        self._closed = False
        # Children.
        segment: SegmentWidget = open_beside(viewer, "Segment")
        self._segment: SegmentWidget | None = segment
        self._bridge = ResultBridge()
        self._exporter = Exporter(self._bridge, lambda text, _: self._say(text))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="cellprompt-series")
        self.series: Series | None = None
        self.current: Path | None = None
        """The image that is open."""
        self.busy = False
        self._image: Image | None = None
        self._reviewed: Labels | None = None
        """Labels that came from a file and are as they were there."""
        self.buttons = {
            "open": push_button("Open a folder ..."),
            "save": push_button("Save and next"),
            "back": push_button("Previous"),
            "skip": push_button("Skip"),
        }
        for key in SERIES_KEYS:
            tip = f"{key.text[0].upper()}{key.text[1:]} ({name_of(key)})"
            self.buttons[key.action].setToolTip(tip)
        self.apply = QCheckBox("Apply the examples of Few-shot")
        self.apply.setChecked(True)
        self.finished = QCheckBox("Finished images too, with their labels")
        self.finished.setToolTip("To look through them, correct them and save them again")
        self.bar = QProgressBar()
        self.bar.setFormat("%v of %m finished")
        self.status_line = text_line()
        # Layout, state, connections.
        self._accent = Accent(viewer, self.buttons["save"])
        layout = Body(self).rows
        layout.addWidget(self.buttons["open"])
        layout.addWidget(self.buttons["save"])
        layout.addLayout(grid_of([self.buttons["back"], self.buttons["skip"]]))
        layout.addWidget(self.apply)
        layout.addWidget(self.finished)
        layout.addWidget(self.bar)
        layout.addWidget(self.status_line)
        layout.addStretch()
        actions: dict[str, Callable[[], None]] = {
            "open": self._ask,
            "save": self.save_and_next,
            "back": partial(self.go, -1),
            "skip": partial(self.go, 1),
        }
        for name, action in actions.items():
            self.buttons[name].clicked.connect(ignore_state(action))
        # on the viewer: a button does not hear its key while another dock hides it
        self.keys = KeyBinder(actions, SERIES_KEYS)
        self.keys.bind(viewer, [])
        segment.closed.connect(self.shut_down)
        self._say("Open a folder of images. Labels go beside them, as NAME_labels.tif.")

    # --- what the buttons do ----------------------------------------------------------

    def open_folder(self, folder: Path) -> None:
        """Begin with the first image of a folder that is not finished."""
        try:
            self.series = Series.of(folder, folder)
        except CellpromptError as error:
            self._say(str(error))
            return
        self.current = None
        self.go(1)

    def save_and_next(self) -> None:
        """Write the labels of the image that is open, then open the next one."""
        segment = self._segment
        if self.series is None or self.current is None or segment is None or self.busy:
            return
        image, place = self._image, segment.place
        if image is None or (
            image not in self._viewer.layers and not place.labels_of(image)
        ):
            self._say(f"{self.current.name} is not open any more: go back, or skip it.")
            return
        # an image without objects gets an empty file: that is an answer too
        labels = place.target(image)
        target = self.series.labels_of(self.current)

        def saved(future: Future[Any]) -> None:
            trouble = complaint(future)
            if trouble is not None:
                self._say(trouble)
                return
            own = place.ownership.image_of(labels) is image
            self.go(1, layers=(labels,) if own else ())

        self._while_busy(
            f"Saving {self.current.name} ...",
            lambda: self._exporter.write(target, labels, image),
            saved,
        )

    def go(self, step: int, layers: tuple[Any, ...] = ()) -> None:
        """Open the next image that is not finished, or the one before.

        Parameters
        ----------
        step
            1 or -1.
        layers
            What goes with the image that was open: its labels, once they are saved.
            Labels that were not saved stay in the viewer.
        """
        series = self.series
        if series is None or self.busy:
            return
        path = series.after(self.current, step=step, finished=self.finished.isChecked())
        if path is None:
            where = "after" if step > 0 else "before"
            left = len(series.left)
            self._remove(layers)
            if self.current is not None and self.finished.isChecked():
                self._say(f"There is no image {where} this one.")
            elif left and self.current is not None:
                self._say(f"No image {where} this one is left; {left} are elsewhere.")
            elif not left:
                self.current = None
                self._remove((*self._prompts_of(self._image), self._image))
                self._say(f"All {len(series.images)} images are finished.")
            return
        self._while_busy(
            f"Opening {path.name} ...",
            lambda: self._pool.submit(_read, path, series.labels_of(path)),
            lambda future: self._opened(path, layers, future),
        )

    # --- opening ----------------------------------------------------------------------

    def _opened(self, path: Path, layers: tuple[Any, ...], future: Future[Any]) -> None:
        segment = self._segment
        trouble = complaint(future)
        if segment is None:
            return
        if trouble is not None:
            self.current = path
            self._say(f"{trouble} Skip goes past it.")
            return
        fewshot = find_dock(self._viewer, "Few-shot")
        if fewshot is not None:
            fewshot.controller.discard()
        (data, options), known = future.result()
        before = self._image
        if before is not None and before.dtype == data.dtype and not options["rgb"]:
            # how grey values are shown is a setting too: the model sees them so
            options["contrast_limits"] = before.contrast_limits
        # and so is which channels it sees
        alike = before is not None and before == segment.place.chosen.image
        channels = segment.chosen_channels() if alike else {}
        self._remove((*layers, self._reviewed, *self._prompts_of(before), before))
        self._reviewed = None
        options["metadata"] = {"napari-cellprompt": {FILE_KEY: str(path)}}
        self._image = self._viewer.add_image(data, name=path.stem, **options)
        self.current = path
        segment.follower.take(self._image)
        if before is not None and before.ndim == self._image.ndim:
            segment.choose_channels(channels)
        if known is not None:
            self._review(path, known)
            return
        self._say(f"{path.name}: segment its cells, then Save and next.")
        bank = None if fewshot is None else fewshot.controller.bank
        if fewshot is not None and bank is not None and bank.examples:
            if self.apply.isChecked():
                fewshot.controller.find(whole_stack=True)
                self._say(f"{path.name}: accept or correct, then Save and next.")

    def _review(self, path: Path, known: tuple[Any, dict[str, Any]]) -> None:
        """Show the labels of a finished image, to be corrected."""
        segment = self._segment
        if segment is None:
            return
        pixels, options = known
        layer = self._viewer.add_labels(pixels, name=f"{path.stem} labels", **options)
        self._reviewed = layer
        # once they are changed they are work that must not go with the next image
        layer.events.labels_update.connect(self._changed_by_hand)
        layer.events.paint.connect(self._changed_by_hand)
        if self._image is not None:
            segment.place.ownership.made(layer, self._image)
        segment.place.use("labels", layer)
        count = len(np.unique(pixels)) - 1 if pixels.size < _COUNTED else "its"
        self._say(f"{path.name} has {count} objects: correct them, then Save and next.")

    def _changed_by_hand(self, event: Any) -> None:
        if event.source is self._reviewed:
            self._reviewed = None

    def _prompts_of(self, image: Image | None) -> list[Layer]:
        """Clicks and boxes that were made for an image, and go with it."""
        if image is None or self._segment is None:
            return []
        made = self._segment.place.ownership.layers_of(image)
        return [layer for layer in made if isinstance(layer, (Points, Shapes))]

    def _remove(self, layers: tuple[Any, ...]) -> None:
        for layer in layers:
            if layer is not None and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    # --- life and showing -------------------------------------------------------------

    def event(self, event: QEvent | None) -> bool:
        """Stop when napari takes the widget out of its dock."""
        if has_left_dock(self, event):
            self.shut_down()
        return event is not None and bool(super().event(event))

    def shut_down(self) -> None:
        """Let go of the viewer; layers stay as they are."""
        if self._closed:
            return
        self._closed = True
        if self._segment is not None:
            self._segment.closed.disconnect(self.shut_down)
        self._segment = None
        self.keys.unbind()
        self._accent.close()
        self._exporter.close()
        self._bridge.close()
        self._pool.shutdown(wait=False)
        if isalive(self):
            for button in self.buttons.values():
                button.setEnabled(False)

    def _ask(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a folder of images")
        if name:
            self.open_folder(Path(name))

    def _while_busy(
        self,
        text: str,
        work: Callable[[], Future[Any]],
        done: Callable[[Future[Any]], None],
    ) -> None:
        """Take no other action until the work is done, however it ends.

        Parameters
        ----------
        text
            Shown meanwhile.
        work
            Starts it; returns its future.
        done
            Called with the finished future, once other actions are possible again.
        """
        self.busy = True
        self._say(text)

        def arrived(future: Future[Any]) -> None:
            self.busy = False
            try:
                done(future)
            finally:
                self._show_buttons()

        started = False
        try:
            self._bridge.deliver(work(), arrived)
            started = True
        finally:
            if not started:
                self.busy = False
                self._show_buttons()

    def _say(self, text: str) -> None:
        self.status_line.setText(text)
        self._show_buttons()

    def _show_buttons(self) -> None:
        series = self.series
        there = series is not None and not self.busy
        self.buttons["open"].setEnabled(not self.busy)
        self.buttons["save"].setEnabled(there and self.current is not None)
        for name in ("back", "skip"):
            self.buttons[name].setEnabled(there)
        total = 0 if series is None else len(series.images)
        self.bar.setVisible(total > 0)
        if series is not None:
            self.bar.setRange(0, total)
            self.bar.setValue(total - len(series.left))


def _read(
    path: Path, labels: Path
) -> tuple[tuple[Any, dict[str, Any]], tuple[Any, dict[str, Any]] | None]:
    """An image file as napari shows it where it belongs, and its labels if it has any."""
    from napari_cellprompt.io.image_files import read_image
    from napari_cellprompt.io.label_tiff import read_labels

    file = read_image(path)
    rgb = file.axes.endswith("S")
    axes = file.axes[:-1] if rgb else file.axes
    image = (file.data, {"rgb": rgb, **_place(axes, file.scale, file.unit, file.known)})
    if not labels.is_file():
        return image, None
    known = read_labels(labels)
    return image, (known.labels, _place(known.axes, known.scale, known.unit, known.known))


def _place(axes: str, scale: tuple[float, ...], unit: str, known: str) -> dict[str, Any]:
    units = dict.fromkeys("ZYX", unit)
    if "T" in known:
        units["T"] = "second"
    return {
        "scale": scale[: len(axes)],
        "axis_labels": tuple(letter.lower() for letter in axes),
        "units": tuple(units.get(letter, "pixel") for letter in axes),
    }
