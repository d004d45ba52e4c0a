"""Which image is worked on: the one that is seen, or the one that was chosen by hand."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer

from napari_cellprompt.layers.on_top import choose_image, images_of
from napari_cellprompt.layers.previews.mask import is_preview

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer

    from napari_cellprompt.layers.ownership import Role
    from napari_cellprompt.widgets.segment.workplace import Workplace

    from .form import SegmentForm

__all__ = ["ImageFollower"]


class ImageFollower:
    """Keeps the workplace, the choosers of layers and the layer list in step.

    An image that is opened, shown or moved on top is worked on from then on, unless the
    user has chosen one by hand; that one stays until it is removed or no image is chosen.

    Parameters
    ----------
    place : Workplace
        Holds the image and its layers.
    form : SegmentForm
        Its choosers show them.
    parent : QObject
        Owner of the timer.
    held : callable
        Whether the layers are in use by someone else, so that no other image may be
        taken.
    taken : callable
        ``taken(free)`` is called after another image was taken; ``free`` tells whether
        the user was not at work with a layer of their own.
    """

    def __init__(
        self,
        place: Workplace,
        form: SegmentForm,
        *,
        parent: QObject,
        held: Callable[[], bool],
        taken: Callable[[bool], None],
    ) -> None:
        self._place = place
        self._form = form
        self._viewer = place.viewer
        self._held = held
        self._taken = taken
        self._pinned: Image | None = None
        self._new: list[Image] = []
        self._shown: list[tuple[Any, Any]] = []
        # napari makes a new layer the active one after it has announced it
        self._soon = QTimer(parent)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.look)
        for emitter in self._emitters():
            emitter.connect(self._list_changed)
        form.image.changed.connect(self._image_picked)
        roles: tuple[Role, ...] = ("points", "boxes", "labels")
        for role in roles:
            getattr(form, role).changed.connect(partial(self._layer_picked, role))
        place.chosen_changed.connect(self.show)
        self._watch_images()

    def look(self) -> None:
        """Work on the image that is seen, if the user has not chosen one."""
        if self._held():
            return
        place, layers = self._place, self._viewer.layers
        new, self._new = self._new, []
        before = place.chosen
        image = self._pinned
        if image is None or image not in layers:
            image = choose_image(self._viewer, before.image, new)
        if image == before.image:
            # which image is seen may have changed all the same
            place.chosen_changed.emit()
            return
        active = layers.selection.active
        free = active is None or isinstance(active, Image) or active in before.prompts
        self._take(image, free)

    def take(self, image: Image | None) -> None:
        """Work on an image, as if it had just been opened on top."""
        self._pinned = None
        self._take(image, True)

    def look_soon(self) -> None:
        """Look once the event loop is free."""
        self._soon.start()

    def show(self) -> None:
        """Show the chosen layers in the choosers."""
        self._form.chosen = self._place.chosen

    def close(self) -> None:
        """Undo every connection."""
        self._soon.stop()
        for emitter in self._emitters():
            emitter.disconnect(self._list_changed)
        self._unwatch_images()
        self._place.chosen_changed.disconnect(self.show)
        self._pinned = None
        self._new.clear()

    def _take(self, image: Image | None, free: bool) -> None:
        self._place.choose(image)
        self._form.update_channels(self._place.channel_axis, self._place.chosen_channel)
        self._taken(free)

    def _image_picked(self, image: Image | None) -> None:
        self._pinned = image
        if image is None:
            self.look_soon()
        else:
            self._take(image, True)

    def _layer_picked(self, role: Role, layer: Layer | None) -> None:
        self._place.use(role, layer)

    # --- events ----------------------------------------------------------------------

    def _emitters(self) -> tuple[Any, ...]:
        events = self._viewer.layers.events
        return (
            events.inserted,
            events.removed,
            events.renamed,
            events.moved,
            events.reordered,
        )

    def _list_changed(self, event: Any) -> None:
        value = getattr(event, "value", None)
        if event.type == "inserted" and isinstance(value, Image) and not is_preview(value):
            self._new.append(value)
        if self._pinned is not None and self._pinned not in self._viewer.layers:
            self._pinned = None
        self._place.update()
        self.show()
        self._watch_images()
        self.look_soon()

    def _watch_images(self) -> None:
        """Follow what decides whether an image is seen."""
        self._unwatch_images()
        for image in images_of(self._viewer):
            events = image.events
            for emitter in (events.visible, events.opacity, events.blending):
                emitter.connect(self._seen_changed)
                self._shown.append((emitter, self._seen_changed))

    def _unwatch_images(self) -> None:
        while self._shown:
            emitter, callback = self._shown.pop()
            emitter.disconnect(callback)

    def _seen_changed(self, event: Any = None) -> None:
        self.look_soon()
