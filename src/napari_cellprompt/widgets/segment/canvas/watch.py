"""Follows the layers and sliders that decide what is predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers.base import ActionType
from qtpy.QtCore import QObject, QTimer

from napari_cellprompt.layers.coordinates import cursor_to_plane

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = ["LayerWatch", "view_centre"]

# Adding, moving and removing each announce themselves before they happen, too.
_BEFORE = (ActionType.ADDING, ActionType.CHANGING, ActionType.REMOVING)
_CONTRAST_PAUSE = 250
_VIEW_PAUSE = 250


class LayerWatch:
    """Calls back when prompts, planes or pixels changed; many events are one call.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose sliders and camera are followed.
    parent : QObject
        Owner of the timers.
    changed : callable
        Called once the event loop is free again after prompts, planes or data changed,
        and a moment after the contrast stopped changing.
    view_rested : callable
        Called when plane, image and camera have been left alone for a moment.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        parent: QObject,
        *,
        changed: Callable[[], None],
        view_rested: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._soon = _timer(parent, 0, changed)
        self._contrast = _timer(parent, _CONTRAST_PAUSE, changed)
        self._rest = _timer(parent, _VIEW_PAUSE, view_rested)
        self._layers: list[tuple[Any, Callable[..., None]]] = []
        self._always: list[tuple[Any, Callable[..., None]]] = []
        dims, camera = viewer.dims.events, viewer.scene.camera.events
        for emitter in (dims.current_step, dims.order, dims.ndisplay):
            self._connect(self._always, emitter, self._on_plane)
        for emitter in (camera.center, camera.zoom):
            self._connect(self._always, emitter, self._on_camera)

    def follow(
        self, image: Image | None, prompts: list[Layer], beside: Sequence[Image] = ()
    ) -> None:
        """Follow these layers and no others; ``beside`` are further channels."""
        self._disconnect(self._layers)
        if image is not None:
            events = image.events
            for emitter in (events.data, events.scale, events.translate, events.affine):
                self._connect(self._layers, emitter, self._on_plane)
            self._connect(self._layers, events.contrast_limits, self._on_contrast)
        for other in beside:
            events = other.events
            for emitter in (events.data, events.scale, events.translate, events.affine):
                self._connect(self._layers, emitter, self._on_plane)
        for layer in prompts:
            self._connect(self._layers, layer.events.data, self._on_prompts)
            self._connect(self._layers, layer.events.features, self._on_features)
        self.look_soon()
        self._rest.start()

    def look_soon(self) -> None:
        """Call back as soon as the event loop is free."""
        self._soon.start()

    def close(self) -> None:
        """Let go of everything."""
        for timer in (self._soon, self._contrast, self._rest):
            timer.stop()
        self._disconnect(self._layers)
        self._disconnect(self._always)

    def _on_plane(self, event: Any = None) -> None:
        self._soon.start()
        self._rest.start()

    def _on_camera(self, event: Any = None) -> None:
        self._rest.start()

    def _on_contrast(self, event: Any = None) -> None:
        self._contrast.start()
        self._rest.start()

    def _on_prompts(self, event: Any = None) -> None:
        if getattr(event, "action", None) not in _BEFORE:
            self._soon.start()

    def _on_features(self, event: Any = None) -> None:
        self._soon.start()

    @staticmethod
    def _connect(
        held: list[tuple[Any, Callable[..., None]]],
        emitter: Any,
        callback: Callable[..., None],
    ) -> None:
        emitter.connect(callback)
        held.append((emitter, callback))

    @staticmethod
    def _disconnect(held: list[tuple[Any, Callable[..., None]]]) -> None:
        while held:
            emitter, callback = held.pop()
            emitter.disconnect(callback)


def view_centre(
    viewer: ViewerModel, image: Image, view: PlaneView, shape: tuple[int, int]
) -> tuple[float, float]:
    """``(x, y)`` of the plane's pixel in the middle of the canvas, inside the image."""
    position = list(viewer.dims.point)
    centre = viewer.scene.camera.center[-2:]
    for axis, value in zip(viewer.dims.displayed[-2:], centre, strict=True):
        position[axis] = value
    x, y = cursor_to_plane(image, view, position)
    height, width = shape
    return min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)


def _timer(parent: QObject, milliseconds: int, callback: Callable[[], None]) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(callback)
    return timer
