"""From chosen channels to pixels, once their grey values are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.types import ImageFile, MixedChannel
from napari_cellprompt.layers.composing import coinciding, image_file, layer_of
from napari_cellprompt.layers.images import Pixels, full_resolution
from napari_cellprompt.session.segment import ChannelQuestion

from .contrast import Limits, Pending

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_cellprompt.layers.composing import ChannelChoice
    from napari_cellprompt.layers.images import ImageRevisions
    from napari_cellprompt.session.segment import SegmentSession
    from napari_cellprompt.widgets.shared.bridge import ResultBridge

__all__ = ["Composer"]

_Place = tuple[str, int | None, int | None, float, float]
"""Identity of a layer's pixels, axis and number of a channel, and two percentiles."""


class Composer:
    """Puts channels together; their percentiles are computed on the inference thread.

    What was computed is kept, so that a channel is looked at once.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Holds the layers.
    session : SegmentSession
        Looks at channels.
    bridge : ResultBridge
        Brings back what was seen.
    revisions : ImageRevisions
        Knows when pixels change.
    arrived : callable
        Called with the finished future each time.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: SegmentSession,
        bridge: ResultBridge,
        revisions: ImageRevisions,
        arrived: Callable[[Future[Any]], None],
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._bridge = bridge
        self._revisions = revisions
        self._arrived = arrived
        self._limits: dict[_Place, Limits] = {}
        self._marks: dict[str, str] = {}
        self._asked: object = None
        """What is being looked at."""

    def of(
        self, image: Image, channel_axis: int | None, chosen: Sequence[ChannelChoice]
    ) -> Pixels | Pending:
        """The picture of an image, or that it takes a moment yet.

        Raises
        ------
        ImageError
            A layer is gone, or its pixels are others than those of the image.
        """
        axis = full_resolution(image).ndim - 1 if image.rgb else channel_axis
        used = [choice for choice in chosen if choice.use != "off"]
        layers = [layer_of(self._viewer, image, choice) for choice in used]
        keys = [self._revisions.key(layer) for layer in layers]
        places: list[_Place] = [
            (key, axis, choice.number, choice.low, choice.high)
            for key, choice in zip(keys, used, strict=True)
        ]
        missing = {
            place: layer
            for place, layer in zip(places, layers, strict=True)
            if place not in self._limits
        }
        unknown = {
            key: layer
            for key, layer in zip(keys, layers, strict=True)
            if layer != image and key not in self._marks
        }
        if missing or unknown:
            self._look(missing, unknown)
            return Pending.PENDING
        channels = tuple(
            MixedChannel(
                choice.colour,
                self._limits[place],
                number=choice.number,
                image=None if layer == image else image_file(layer, self._marks[place[0]]),
                invert=choice.invert,
                smooth=choice.smooth,
            )
            for choice, place, layer in zip(used, places, layers, strict=True)
        )
        identity = dict.fromkeys([self._revisions.key(image), *keys])
        return Pixels(
            " ".join(identity),
            channels=channels,
            sources=tuple(full_resolution(layer) for layer in layers),
        )

    def again(self, image: Image, channels: Sequence[MixedChannel]) -> Pixels:
        """The picture of an earlier day, with the grey values that it had.

        Raises
        ------
        ImageError
            A layer is not open.
        """
        layers, others = [], coinciding(self._viewer, image)
        for channel in channels:
            if channel.image is None:
                layers.append(image)
                continue
            fitting = [one for one in others if _is_file(one, channel.image)]
            if not fitting:
                raise ImageError(
                    f"Open '{channel.image.name}' first, of which the model saw a channel."
                )
            layers.append(fitting[0])
        keys = [self._revisions.key(layer) for layer in (image, *layers)]
        return Pixels(
            " ".join(dict.fromkeys(keys)),
            channels=tuple(channels),
            sources=tuple(full_resolution(layer) for layer in layers),
        )

    def _look(self, missing: dict[_Place, Image], unknown: dict[str, Image]) -> None:
        """Ask for what is not known; a newer question takes the place of an older one."""
        question = tuple(missing), tuple(unknown)
        if question == self._asked:
            return
        self._asked = question
        asked = [
            ChannelQuestion(
                full_resolution(layer),
                low,
                high,
                channel_axis=None if number is None else axis,
                channel=number,
            )
            for (_, axis, number, low, high), layer in missing.items()
        ]
        arrays = [full_resolution(layer) for layer in unknown.values()]

        def done(finished: Future[tuple[list[Limits], list[str]]]) -> None:
            if self._asked == question:
                self._asked = None
            if not (finished.cancelled() or finished.exception() is not None):
                limits, marks = finished.result()
                self._limits.update(zip(missing, limits, strict=True))
                self._marks.update(zip(unknown, marks, strict=True))
            self._arrived(finished)

        self._bridge.deliver(self._session.look_at_channels(asked, arrays), done)


def _is_file(layer: Image, file: ImageFile) -> bool:
    """Whether a layer is likely the image of an earlier day."""
    known = image_file(layer, file.fingerprint)
    return known == file and (known.name == file.name or known.path == file.path)
