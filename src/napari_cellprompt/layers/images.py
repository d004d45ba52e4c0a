"""Image layers as the planes that a model reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.compose import ComposedArray
from napari_cellprompt.core.images.contrast import percentile_limits
from napari_cellprompt.core.images.planes import PlaneSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image, Labels
    from napari.utils.events import Event

    from napari_cellprompt.core.types import MixedChannel

    from .coordinates import PlaneView

__all__ = [
    "ImageRevisions",
    "Pixels",
    "full_resolution",
    "lacks_limits",
    "layer_limits",
    "plane_arguments",
    "plane_source",
    "stack_limits",
]


@dataclass(frozen=True, slots=True)
class Pixels:
    """How the pixels of an image layer are shown to a model."""

    image_id: str
    """Identity of the pixels, of all layers that they come from."""
    channel: int | None = None
    """As for ``plane_source``."""
    limits: tuple[float, float] | None = None
    """Grey values that become 0 and 255; None where uint8 is taken as it is."""
    channels: tuple[MixedChannel, ...] = ()
    """What the picture is composed of; empty: one channel, or colours as they are."""
    sources: tuple[Any, ...] = field(default=(), compare=False, repr=False)
    """The array of each of these channels."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``plane_source``, ``plane_arguments`` and ``LayerStack``."""
        return {
            "image_id": self.image_id,
            "channel": self.channel,
            "limits": self.limits,
            "channels": self.channels,
            "sources": self.sources,
        }


class ImageRevisions:
    """Identities of images that change when their pixels do.

    Features are cached under such an identity. A layer is followed from the first time
    its key is asked for until ``forget`` or ``close``; no attribute is set on it.
    """

    def __init__(self) -> None:
        self._revisions: dict[str, int] = {}
        self._disconnect: dict[str, Callable[[], None]] = {}

    def key(self, layer: Image) -> str:
        """Identity of the layer's pixels: its unique id and a revision number."""
        name = str(layer.unique_id)
        if name not in self._disconnect:
            self._follow(name, layer)
        return f"{name}:{self._revisions[name]}"

    def forget(self, layer: Image) -> None:
        """Stop following a layer that was removed from its viewer."""
        name = str(layer.unique_id)
        if name in self._disconnect:
            self._disconnect.pop(name)()
            self._revisions[name] += 1

    def close(self) -> None:
        """Stop following all layers."""
        for disconnect in self._disconnect.values():
            disconnect()
        self._disconnect.clear()
        self._revisions.clear()

    def _follow(self, name: str, layer: Image) -> None:
        # A layer that comes back may have changed since, so it does not start anew.
        self._revisions.setdefault(name, 0)

        def changed(event: Event | None = None) -> None:
            self._revisions[name] += 1

        # ``events.set_data`` would not do: it fires whenever another plane is shown.
        emitter = layer.events.data
        emitter.connect(changed)
        self._disconnect[name] = lambda: emitter.disconnect(changed)


def full_resolution(layer: Image | Labels) -> Any:
    """The array of a layer, its finest level where there are several."""
    return layer.data[0] if layer.multiscale else layer.data


def plane_source(
    image: Image,
    view: PlaneView,
    *,
    image_id: str,
    channel: int | None = None,
    limits: tuple[float, float] | None = None,
    channels: tuple[MixedChannel, ...] = (),
    sources: tuple[Any, ...] = (),
) -> PlaneSource:
    """The plane ``view`` of an image layer; nothing is read before it is needed.

    Parameters
    ----------
    image : napari.layers.Image
        In memory, dask or zarr; of a multiscale layer the finest level is taken.
    view : PlaneView
        The plane, from ``coordinates.plane_of``.
    image_id : str
        Identity of the pixels, from ``ImageRevisions.key``.
    channel : int, optional
        Index along ``view.channel_axis``, or one of the samples of an RGB image. An RGB
        image without it is taken in colour.
    limits : tuple of float, optional
        Grey values that become 0 and 255, from ``layer_limits`` or ``stack_limits``.
        None leaves uint8 as it is.
    channels, sources : tuple
        See ``Pixels``; they stand instead of ``channel`` and ``limits``.

    Raises
    ------
    ImageError
        The channel does not exist, or the pixels are not real numbers.
    """
    data, arguments = plane_arguments(
        image,
        view,
        image_id=image_id,
        channel=channel,
        limits=limits,
        channels=channels,
        sources=sources,
    )
    return PlaneSource(data, index=view.index, **arguments)


def plane_arguments(
    image: Image,
    view: PlaneView,
    *,
    image_id: str,
    channel: int | None = None,
    limits: tuple[float, float] | None = None,
    channels: tuple[MixedChannel, ...] = (),
    sources: tuple[Any, ...] = (),
) -> tuple[Any, dict[str, Any]]:
    """The array of an image layer, and all that ``PlaneSource`` needs but ``index``.

    Parameters and errors are those of ``plane_source``.
    """
    data = full_resolution(image)
    channel_axis = view.channel_axis
    if channels:
        composed = ComposedArray(
            channels,
            sources,
            plane=view.axes,
            channel_axis=channel_axis,
            rgb=bool(image.rgb),
        )
        return composed, {
            "axes": view.axes,
            "channel": None if channel_axis is None else 0,
            "channel_axis": channel_axis,
            "rgb": composed.coloured,
            "image_id": image_id,
            "channels": channels,
        }
    if channel is None and channel_axis is not None:
        raise ImageError(f"Choose a channel of '{image.name}'.")
    if channel is not None and channel_axis is None:
        if not image.rgb:
            raise ImageError(f"'{image.name}' has no channel axis to choose from.")
        channel_axis = data.ndim - 1
    if channel is not None and not 0 <= channel < data.shape[channel_axis]:
        raise ImageError(
            f"'{image.name}' has {data.shape[channel_axis]} channels: there is no "
            f"channel {channel}."
        )
    return data, {
        "axes": view.axes,
        "channel": channel,
        "channel_axis": channel_axis,
        "rgb": bool(image.rgb) and channel_axis != data.ndim - 1,
        "limits": limits,
        "image_id": image_id,
    }


def layer_limits(image: Image) -> tuple[float, float] | None:
    """Grey values that the layer shows as black and white.

    Returns
    -------
    tuple of float or None
        ``lo < hi``, both finite. None for RGB, which has none; see ``lacks_limits``.
    """
    if image.rgb:
        return None
    lo, hi = (float(value) for value in image.contrast_limits)
    # napari keeps them in order, but lets infinities and NaN through.
    if not (np.isfinite(lo) and np.isfinite(hi) and lo < hi):
        return 0.0, 1.0
    return lo, hi


def lacks_limits(image: Image) -> bool:
    """Whether a layer says nothing of its grey values: colours that are not uint8.

    napari shows them over the whole range of their type, where colours of 12 bits, or
    floats up to 255, are black or white.
    """
    return bool(image.rgb) and np.dtype(image.dtype) != np.uint8


def stack_limits(
    data: Any,
    low: float = 0.1,
    high: float = 99.9,
    *,
    channel_axis: int | None = None,
    channel: int | None = None,
) -> tuple[float, float]:
    """Percentiles over a whole stack, so that contrast is the same on every plane.

    Free of napari; it may read many chunks of a lazy array and is meant to run off the
    GUI thread.

    Parameters
    ----------
    data : array_like
        From ``full_resolution``; numpy, dask or zarr.
    low, high : float
        Percentiles that become 0 and 255.
    channel_axis, channel : int, optional
        Look only at this channel.
    """
    return percentile_limits(data, low, high, channel_axis=channel_axis, channel=channel)
