"""Which grey values the model sees as black and white."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from napari_cellprompt.layers.images import full_resolution, lacks_limits, layer_limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari.layers import Image

    from napari_cellprompt.session.segment import SegmentSession
    from napari_cellprompt.widgets.shared.bridge import ResultBridge

__all__ = ["ContrastLimits", "Limits", "Pending"]

Limits = tuple[float, float]


class Pending(Enum):
    """Stands for limits that are still being computed."""

    PENDING = "pending"


class ContrastLimits:
    """Limits of a layer, or percentiles over its whole stack.

    Percentiles are computed once per image and channel on the inference thread.

    Parameters
    ----------
    session : SegmentSession
        Computes percentiles.
    bridge : ResultBridge
        Brings them back.
    percentiles : tuple of float
        Which become black and white.
    arrived : callable
        Called with the finished future each time; limits are known by then if it holds
        no error.
    """

    def __init__(
        self,
        session: SegmentSession,
        bridge: ResultBridge,
        percentiles: tuple[float, float],
        arrived: Callable[[Future[Limits]], None],
    ) -> None:
        self.by_percentiles = False
        self._session = session
        self._bridge = bridge
        self._percentiles = percentiles
        self._arrived = arrived
        self._known: dict[tuple[str, int | None, int | None], Limits | Pending] = {}

    def of(
        self, image: Image, image_id: str, channel_axis: int | None, channel: int | None
    ) -> Limits | Pending | None:
        """Limits of one image and channel; None takes uint8 as it is."""
        if not self.by_percentiles and not lacks_limits(image):
            return layer_limits(image)
        key = (image_id, channel_axis, channel)
        if key in self._known:
            return self._known[key]
        self._known[key] = Pending.PENDING
        if channel_axis is None and channel is not None:
            # One of the samples of RGB, behind the axes that napari counts.
            channel_axis = image.ndim
        future = self._session.percentile_limits(
            full_resolution(image),
            *self._percentiles,
            channel_axis=channel_axis,
            channel=channel,
        )

        def done(finished: Future[Limits]) -> None:
            if finished.cancelled() or finished.exception() is not None:
                del self._known[key]
            else:
                self._known[key] = finished.result()
            self._arrived(finished)

        self._bridge.deliver(future, done)
        return Pending.PENDING
