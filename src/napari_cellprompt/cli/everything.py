"""``cellprompt everything``: an image in, labels of all its objects out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.contrast import check_limits
from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.outputs import check_label_file, save_labels
from napari_cellprompt.tasks import loading

from . import segment
from .segment import counted, say

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.core.inference.searching import Mode

__all__ = ["EverythingRequest", "run_everything"]


@dataclass(frozen=True, slots=True)
class EverythingRequest:
    """What the command line asks for."""

    image: Path
    output: Path
    mode: Mode = "auto"
    model: str = DEFAULT_MODEL
    device: str = "auto"
    axes: str | None = None
    channel: int | None = None
    contrast: tuple[float, float] | None = None
    """Grey values that become 0 and 255; None takes percentiles of the whole image."""
    size: float | None = None
    """Longer side of the objects in pixels; None finds it from the image."""
    link: bool = True
    series: int | None = None
    """Which image of a file of several, see ``read_image``."""
    filters: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of ``FilterSettings``."""


def run_everything(request: EverythingRequest) -> None:
    """Find everything and write it; progress goes to the standard error stream.

    Everything that can be wrong with the files is found before the model is loaded.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    """
    inputs = (request.image, segment.model_file(request.model))
    check_label_file(request.output, inputs)
    try:
        filters = FilterSettings(**request.filters)
    except ValueError as error:
        raise ImageError(str(error)) from error
    if request.size is not None and not request.size > 0:
        raise ImageError(f"The size of the objects must be positive: got {request.size:g}.")
    limits = None if request.contrast is None else check_limits(request.contrast)
    image = read_image(request.image, request.axes, series=request.series)
    channel = _channel(request, image.axes, image.data.shape)
    segment.describe(request.image, image)
    grid = image.grid
    check_label_file(request.output, inputs, grid)

    started = time.perf_counter()
    segmenter = loading.load_segmenter(request.model, request.device)
    say(f"model {request.model} loaded in {time.perf_counter() - started:.1f} s")

    from napari_cellprompt.core.inference.searching import SearchSettings
    from napari_cellprompt.tasks.everything import EverythingSettings, label_stack

    settings = EverythingSettings(
        search=SearchSettings(mode=request.mode, size=request.size),
        filters=filters,
        link=request.link,
    )
    count = int(np.prod(grid.shape[:-2]))
    labels: NDArray[np.uint32] = np.zeros(grid.shape, np.uint32)
    started = time.perf_counter()
    planes = label_stack(
        segmenter,
        image.data,
        settings,
        axes=image.axes,
        channel=channel,
        limits="auto" if limits is None else limits,
    )
    for number, (position, plane) in enumerate(planes, start=1):
        labels[position] = plane
        now = time.perf_counter()
        say(
            f"plane {number} of {count}: {counted(len(np.unique(plane[plane > 0])))} "
            f"in {now - started:.1f} s"
        )
        started = now
    largest = int(labels.max(initial=0))
    save_labels(request.output, labels.astype(smallest_dtype(largest)), grid)
    say(f"{counted(len(np.unique(labels[labels > 0])))} written to {request.output}")


def _channel(request: EverythingRequest, axes: str, shape: tuple[int, ...]) -> int | None:
    """The channel to look at: the one that was asked for, or the first."""
    if "C" not in axes:
        if request.channel is not None:
            raise ImageError(f"{request.image.name} has no channels to choose from.")
        return None
    count = int(shape[axes.index("C")])
    channel = 0 if request.channel is None else request.channel
    if not 0 <= channel < count:
        raise ImageError(
            f"{request.image.name} has the channels 0 to {count - 1}: got {channel}."
        )
    return channel
