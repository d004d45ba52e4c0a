"""What one viewer works with: model, image, layers, options; the same for all widgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_cellprompt.layers.composing import (
    likely_channel_axis,
    may_be_channels,
    title_of,
)
from napari_cellprompt.layers.coordinates import channel_on_screen, plane_of
from napari_cellprompt.layers.grids import match_grid
from napari_cellprompt.layers.images import ImageRevisions, Pixels
from napari_cellprompt.layers.labels.accept import Acceptor, Overlap
from napari_cellprompt.layers.ownership import ownership_of
from napari_cellprompt.layers.prompting.prompts import add_boxes_layer, add_points_layer
from napari_cellprompt.widgets.segment.canvas.prompt_layers import (
    Chosen,
    put_below,
    put_in_order,
)

from .contrast import Pending
from .undo import Steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_cellprompt.core.types import Candidate, Prompts
    from napari_cellprompt.io.session_types import PropagationEntry
    from napari_cellprompt.layers.composing import ChannelChoice
    from napari_cellprompt.layers.coordinates import PlaneView
    from napari_cellprompt.layers.ownership import Role
    from napari_cellprompt.layers.prompting.resolve import SegmentState
    from napari_cellprompt.session.segment import SegmentSession

    from .composer import Composer
    from .contrast import ContrastLimits

    Divert = Callable[[list[tuple[Prompts, Candidate]], SegmentState], bool]

__all__ = ["HalfDone", "Workplace"]

HalfDone = tuple[object, "Callable[[], PropagationEntry | None]"]
"""Something that differs when there is more of it, and what makes an entry of it."""


class Workplace:
    """The image that is worked on, what belongs to it, and how it is segmented.

    Whoever needs a layer asks for it here: the one that belongs to the image is handed
    out, and a new one is made when there is none.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to work in.
    session : SegmentSession
        Runs the model.
    ask : callable
        ``ask(question)`` is True when the user agrees.
    """

    chosen_changed = Signal()
    """Image or layers are not what they were."""
    decided = Signal(object, object)
    """A Labels layer that was written to, and what makes a step of a session of it: a
    function of the time, the layer's number and the model's."""

    def __init__(
        self, viewer: ViewerModel, session: SegmentSession, *, ask: Callable[[str], bool]
    ) -> None:
        self.viewer = viewer
        self.session = session
        self.ask = ask
        self.chosen = Chosen()
        self.channel_axis: int | None = None
        self.chosen_channel: int | None = None
        """None: colour, or the channel on screen where there is an axis of channels."""
        self.composition: tuple[ChannelChoice, ...] = ()
        """Channels that the model is shown together; empty: one channel, or colours."""
        self.overlap: Overlap = "keep"
        self.one_per_point = False
        """Whether each click on an object is an object of its own."""
        self.ownership = ownership_of(viewer)
        self.acceptor = Acceptor(viewer)
        self.steps = Steps(viewer, self.acceptor)
        """What can be taken back, by Segment and by what writes into its labels."""
        self.revisions = ImageRevisions()
        self.contrast: ContrastLimits | None = None
        """How grey values are shown to the model; set by whoever computes them."""
        self.composer: Composer | None = None
        """Puts channels together; set likewise."""
        self.made: list[Layer] = []
        """Layers that were made here."""
        self.divert: Divert | None = None
        """Takes what is accepted instead of a new object, while one is open again."""
        self.half_done: Callable[[Image], HalfDone | None] = lambda image: None
        """What is to be kept of a propagation that is not accepted yet."""
        self.unfinished: PropagationEntry | None = None
        """A propagation of an earlier day, for the widget that goes on with it."""
        self.go_on: Callable[[], None] = lambda: None
        """Has that widget go on with it."""
        self._channels: dict[
            str, tuple[int | None, int | None, tuple[ChannelChoice, ...]]
        ] = {}

    @property
    def channel(self) -> int | None:
        """The channel that the model looks at; None for colour and where there are none."""
        image, axis = self.chosen.image, self.channel_axis
        if self.chosen_channel is not None or image is None or axis is None:
            return self.chosen_channel
        return channel_on_screen(self.viewer, image, axis)

    @property
    def beside(self) -> list[Image]:
        """Other layers that are channels of what the model is shown."""
        names = {choice.layer for choice in self.composition if choice.layer}
        return [one for one in self.viewer.layers if str(one.unique_id) in names]

    def channel_note(self, image: Image) -> str:
        """Which channel the model sees; empty where there is nothing to choose."""
        used = [choice for choice in self.composition if choice.use != "off"]
        if len(self.beside) < len({choice.layer for choice in used} - {""}):
            return ""
        if used:
            names = [
                f"{title_of(self.viewer, image, choice)} as {choice.use}" for choice in used
            ]
            return f"The model sees {', '.join(names)}."
        if self.channel_axis is not None and self.chosen_channel is None:
            return f"The model sees channel {self.channel}, the one on screen."
        return may_be_channels(image) if self.channel_axis is None else ""

    def pixels_of(self, image: Image) -> Pixels | Pending:
        """How an image is shown to the model; pending while grey values are looked at.

        Raises
        ------
        ImageError
            A channel of the picture is not there any more.
        """
        if self.composition and self.composer is not None:
            return self.composer.of(image, self.channel_axis, self.composition)
        key, limits = self.revisions.key(image), None
        if self.contrast is not None:
            limits = self.contrast.of(image, key, self.channel_axis, self.channel)
        if isinstance(limits, Pending):
            return limits
        return Pixels(key, self.channel, limits)

    # --- which image -----------------------------------------------------------------

    def choose(self, image: Image | None) -> None:
        """Work on an image, with the layers and the channel that belong to it."""
        before = self.chosen.image
        if before is not None:
            self._channels[str(before.unique_id)] = (
                self.channel_axis,
                self.chosen_channel,
                self.composition,
            )
        name = "" if image is None else str(image.unique_id)
        axis = None if image is None else likely_channel_axis(image)
        self.channel_axis, self.chosen_channel, self.composition = self._channels.get(
            name, (axis, None, ())
        )
        self._set(Chosen() if image is None else self._served(image))

    def use(self, role: Role, layer: Layer | None) -> None:
        """Let a layer that the user chose serve the image."""
        if self.chosen.image is not None:
            self.ownership.use(self.chosen.image, role, layer)
        self.update()

    def update(self) -> None:
        """Follow the layer list: what is gone is no longer chosen."""
        image, layers = self.chosen.image, self.viewer.layers
        if image is not None and image in layers:
            self._set(self._served(image))
            return
        if image is not None:
            self.revisions.forget(image)
        # what belongs to an image that is gone may still be in use by a propagation
        chosen = self.chosen
        self._set(
            Chosen(
                None,
                chosen.points if chosen.points in layers else None,
                chosen.boxes if chosen.boxes in layers else None,
                chosen.labels if chosen.labels in layers else None,
            )
        )

    def _served(self, image: Image) -> Chosen:
        serving = self.ownership.serving
        return Chosen(
            image,
            serving(image, "points"),
            serving(image, "boxes"),
            serving(image, "labels"),
        )

    def _set(self, chosen: Chosen) -> None:
        if chosen != self.chosen:
            self.chosen = chosen
            self.chosen_changed.emit()

    # --- layers of the image ---------------------------------------------------------

    def need_points(self) -> None:
        """Make the layer for clicks where the image has none that fits it."""
        image, points = self.chosen.image, self.chosen.points
        if image is None or (points is not None and points.ndim == image.ndim):
            return
        self._add(image, "points", lambda: add_points_layer(self.viewer, image))

    def need_boxes(self) -> None:
        """Make the layer for boxes where the image has none that fits it.

        The layer for clicks is made first: napari's canvas has crashed where an empty
        Points layer was added after an empty Shapes layer in a viewer that was emptied.
        """
        image, boxes = self.chosen.image, self.chosen.boxes
        if image is None or (boxes is not None and boxes.ndim == image.ndim):
            return
        self.need_points()
        self._add(image, "boxes", lambda: add_boxes_layer(self.viewer, image))

    def raise_prompts(self) -> None:
        """Bring clicks and boxes above the image, where it was moved above them."""
        put_in_order(self.viewer, self.chosen)

    def _add(self, image: Image, role: Role, make: Callable[[], Layer]) -> None:
        active = self.viewer.layers.selection.active
        layer = make()
        self.made.append(layer)
        self.ownership.made(layer, image)
        self.ownership.use(image, role, layer)
        self.update()
        put_in_order(self.viewer, self.chosen)
        if active is not None and self.viewer.layers.selection.active != active:
            self.viewer.layers.selection.active = active

    # --- where objects go ------------------------------------------------------------

    def labels_of(self, image: Image) -> Labels | None:
        """The layer that takes the objects of an image; None before there is one."""
        labels: Labels | None = self.ownership.serving(image, "labels")
        return labels

    def target(
        self, image: Image, view: PlaneView | None = None, *, wanted: Labels | None = None
    ) -> Labels:
        """The layer that takes the objects of an image; made where there is none.

        The user is asked before objects go into a layer that was not made for this
        image; where that is not wanted, a new one is made.

        Parameters
        ----------
        image : napari.layers.Image
            The image that was segmented, be it the chosen one or not.
        view : PlaneView, optional
            A plane of the image; the one on screen when left out.
        wanted : napari.layers.Labels, optional
            Where the objects came from, and are to go again.
        """
        if view is None:
            view = plane_of(self.viewer, image, channel_axis=self.channel_axis)
        labels = wanted if wanted in self.viewer.layers else self.labels_of(image)
        owned = labels is not None and self.ownership.image_of(labels) == image
        if (
            labels is not None
            and owned
            and isinstance(match_grid(image, labels, view), str)
        ):
            labels = None  # the image has other pixels now
        if labels is not None and not self.ownership.may_write(labels, image):
            if self.ask(self._question(labels, image)):
                self.ownership.agree(labels, image)
            else:
                labels = None
        if labels is None:
            labels = self.acceptor.new_layer(image, view)
            self.made.append(labels)
            put_below(self.viewer, labels, self.ownership.layers_of(image))
        self.ownership.use(image, "labels", labels)
        self.update()
        return labels

    def _question(self, labels: Labels, image: Image) -> str:
        owner = self.ownership.image_of(labels)
        if owner is not None:
            what = f"'{labels.name}' holds the objects of '{owner.name}'."
        elif self.ownership.is_made(labels):
            what = f"'{labels.name}' holds the objects of an image that was removed."
        else:
            what = f"'{labels.name}' was not made for '{image.name}'."
        return (
            f"{what} Write objects of '{image.name}' into it? With No they go into a new "
            "layer."
        )

    def target_written(self, labels: Labels, written: Labels) -> None:
        """Go on with a layer that has room for larger ids, where one took the place."""
        if written != labels and labels not in self.viewer.layers:
            if labels in self.made:
                self.made.append(written)
            self.update()

    def close(self) -> None:
        """Stop following layers; what was made stays known."""
        self.revisions.close()
        self.acceptor.close()
        self.chosen = Chosen()
        self.made.clear()
