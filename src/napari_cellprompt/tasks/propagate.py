"""One call for a notebook: a stack and prompts in, a label stack out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.sources import open_image

from . import loading
from .prompts import prompts_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.core.propagate.types import Direction, PropagationSettings

__all__ = ["propagate"]


def propagate(
    stack: Any,
    prompts: Mapping[tuple[int, int], Any],
    axis: str | None = None,
    start: int | None = None,
    stop: int | None = None,
    direction: Direction = "both",
    model: str | Path = DEFAULT_MODEL,
    device: str | None = None,
    *,
    axes: str | None = None,
    at: Mapping[str, int] | None = None,
    channel: int | None = None,
    series: int | None = None,
    contrast_limits: tuple[float, float] | Literal["auto"] | None = None,
    settings: PropagationSettings | None = None,
) -> NDArray[Any]:
    """Follow objects through a z-stack or a movie.

    Parameters
    ----------
    stack
        NumPy, dask or zarr array, or the path of a file; read plane by plane.
    prompts
        ``{(id, plane): prompt}``; an id may come on several planes. A prompt is a
        :class:`Prompts`, or a dict with ``points`` ``(K, 2)`` x, y, ``labels``
        ``(K,)`` (default all 1), ``box`` x0, y0, x1, y1 and ``mask`` ``(H, W)``, of
        which at least one is needed.
    axis
        ``"z"`` or ``"t"``; default the one there is, z where there are both.
    start, stop
        First and last plane wanted, both inclusive; default the whole stack.
    direction
        ``"both"``, ``"forward"`` or ``"backward"``.
    model, device, contrast_limits
        As in :func:`segment`; percentiles are those of the whole stack.
    axes, at, channel
        Letters of the axes, the position along the other one of Z and T, and the
        channel, where the array has more than three axes.
    series
        Which image of a file that holds several, see :func:`read_image`.
    settings
        How objects are followed, see :class:`PropagationSettings`.

    Returns
    -------
    ndarray
        ``(planes, H, W)`` of the smallest sufficient unsigned type, 0 = background.

    Raises
    ------
    PromptError, ImageError, CheckpointError
        With a sentence on what was wrong.
    """
    if not prompts:
        raise PromptError("There is nothing to propagate: give at least one prompt.")
    image = open_image(stack, axes, series=series)
    planes = ImageStack(
        image.data,
        along=axis,
        axes=image.axes,
        at=at,
        channel=channel,
        limits=contrast_limits,
    )
    known = {
        place: prompts_of(item, planes.shape, f"prompts[{place}]")
        for place, item in prompts.items()
    }
    # Refused now, not when the labels are made of it.
    smallest_dtype(max(object_id for object_id, _ in known))
    engine = StackPropagator(
        loading.load_segmenter(model, device, keep=True), planes, settings
    )
    for plane in sorted({plane for _, plane in prompts}):
        engine.prompt_many(
            plane,
            {
                object_id: item
                for (object_id, where), item in known.items()
                if where == plane
            },
        )
    if engine.ids:
        for _ in engine.propagate(start=start, stop=stop, direction=direction):
            pass
    outcomes = engine.outcomes()
    return np.stack([outcomes.labels(z, planes.shape) for z in range(len(planes))])
