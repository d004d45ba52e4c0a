"""From a request to an image, its channel and contrast, and a loaded model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.contrast import check_limits
from napari_cellprompt.tasks.requests import ComposedRequest

from . import loading

if TYPE_CHECKING:
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.tasks.report import Report
    from napari_cellprompt.tasks.requests import ImageRequest, ModelRequest

__all__ = [
    "ContrastLimits",
    "axis_lengths",
    "contrast_of",
    "load_model_of",
    "model_file",
    "say_what_is_read",
    "valid_channel",
]

ContrastLimits = tuple[float, float] | Literal["auto"] | None
"""Grey values that become 0 and 255, ``"auto"`` for percentiles of the whole image, None
for those too unless it is uint8; see ``image_limits``."""


def contrast_of(request: ImageRequest) -> ContrastLimits:
    """The contrast that is asked for; None for channels that have theirs already.

    Raises
    ------
    ImageError
        Where the two grey values are not in order, or are given for several channels.
    """
    if isinstance(request, ComposedRequest) and request.compose:
        if request.contrast is not None:
            raise ImageError(
                "Channels that are shown together have percentiles of their own: leave the "
                "contrast out."
            )
        return None
    return "auto" if request.contrast is None else check_limits(request.contrast)


def model_file(request: ModelRequest) -> Path | None:
    """The file of weights that the model is read from, where it is named by one."""
    path = Path(request.model)
    return path if path.is_file() else None


def load_model_of(
    request: ModelRequest, report: Report, *, disk_bytes: int = 0
) -> PlaneSegmenter:
    """Load the model of a request, and say how long it took; see ``load_segmenter``."""
    started = time.perf_counter()
    if disk_bytes:
        segmenter = loading.load_segmenter(
            request.model, request.device, disk_bytes=disk_bytes
        )
    else:
        segmenter = loading.load_segmenter(request.model, request.device)
    report.say(f"model {request.model} loaded in {time.perf_counter() - started:.1f} s")
    return segmenter


def say_what_is_read(path: Path, image: ImageFile, report: Report) -> None:
    """Say what was read, and what was left out."""
    report.say(f"{path.name}: {image.data.shape} {image.data.dtype}, {image.axes}")
    for note in image.notes:
        report.say(note)


def axis_lengths(image: ImageFile) -> dict[str, int]:
    """Length of each axis by its letter."""
    return dict(zip(image.axes, (int(n) for n in image.data.shape), strict=True))


def valid_channel(name: str, image: ImageFile, channel: int | None) -> int | None:
    """The channel to look at: the first by default; None where the image has none.

    Parameters
    ----------
    name
        What the image is called in messages.
    image
        The image.
    channel
        What was asked for.

    Raises
    ------
    ImageError
        Where there is no such channel.
    """
    if "C" not in image.axes:
        if channel is not None:
            raise ImageError(f"{name} has no channels to choose from.")
        return None
    count = axis_lengths(image)["C"]
    chosen = 0 if channel is None else channel
    if not 0 <= chosen < count:
        raise ImageError(f"{name} has the channels 0 to {count - 1}: got {chosen}.")
    return chosen
