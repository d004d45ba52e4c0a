"""Says that a file knows the size of pixels which its layer does not show."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.calibration import (
    LayerCalibration,
    calibrate,
    calibration_note,
    is_calibrated,
    said_by,
    source_of,
)
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.previews.mask import is_preview
from napari_cellprompt.layers.stacks import show_plane

from .note import ButtonNote

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_cellprompt.widgets.segment.workplace import Workplace
    from napari_cellprompt.widgets.shared.bridge import ResultBridge

__all__ = ["CalibrationNote"]


class CalibrationNote(ButtonNote):
    """A sentence on the voxel size of an image's file, and a button that sets it.

    Shown only where napari has opened a file without the voxel size that is in it.

    Parameters
    ----------
    place : Workplace
        Whose image it is about.
    bridge : ResultBridge
        Brings what the file says; files are never read on the GUI thread.
    """

    def __init__(self, place: Workplace, bridge: ResultBridge) -> None:
        super().__init__(
            "Use this voxel size",
            "Set scale and units of the image and of what was made on it",
            self.use,
        )
        self._place = place
        self._bridge = bridge
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="cellprompt-calibration")
        self._image: Image | None = None
        self._found: LayerCalibration | None = None
        place.chosen_changed.connect(self.look)

    def look(self) -> None:
        """Ask the file of the chosen image, if that is another one now."""
        image = self._place.chosen.image
        if image is self._image:
            return
        self._follow(image)
        self._found = None
        self.hide()
        source = None if image is None or is_calibrated(image) else source_of(image)
        if source is None:
            return

        def told(future: Future[LayerCalibration | None]) -> None:
            found = None if future.exception() is not None else future.result()
            if found is not None and image is self._image:
                self._found = found
                self._show()

        self._bridge.deliver(self._pool.submit(said_by, source), told)

    def use(self) -> None:
        """Set scale and units of the image and of the layers that were made on it."""
        image, found, place = self._image, self._found, self._place
        if image is None or found is None or is_calibrated(image):
            return
        try:
            view = plane_of(place.viewer, image)
        except CellpromptError:
            view = None  # axes that Segment complains of
        previews = [layer for layer in place.viewer.layers if is_preview(layer)]
        calibrate([image, *place.ownership.layers_of(image), *previews], found)
        place.viewer.reset_view()
        if view is not None:
            # napari keeps the place in world units, where another plane is now
            show_plane(place.viewer, image, view)
        place.chosen_changed.emit()

    def close_down(self) -> None:
        """Undo every connection."""
        self._place.chosen_changed.disconnect(self.look)
        self._follow(None)
        self._pool.shutdown(wait=False)

    def _follow(self, image: Image | None) -> None:
        """Notice when a scale is set elsewhere, such as by the user in the console."""
        if self._image is not None:
            self._image.events.scale.disconnect(self._show)
            self._image.events.units.disconnect(self._show)
        self._image = image
        if image is not None:
            image.events.scale.connect(self._show)
            image.events.units.connect(self._show)

    def _show(self, event: object = None) -> None:
        image, found = self._image, self._found
        note = None
        if image is not None and found is not None and not is_calibrated(image):
            note = calibration_note(image, found)
            self.line.setText(note)
        self.setVisible(note is not None)
