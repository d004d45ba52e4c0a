"""One call for a notebook: an image and prompts in, masks out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.sam.decoding import gather_prompts
from napari_cellprompt.core.results import Results
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.sources import open_image

from . import loading
from .prompts import prompts_of_batch

if TYPE_CHECKING:
    from napari_cellprompt.core.images.sampling import ArrayData

__all__ = ["segment"]


def segment(
    image: Any,
    points: Any = None,
    labels: Any = None,
    bboxes: Any = None,
    masks: Any = None,
    model: str | Path = DEFAULT_MODEL,
    device: str | None = None,
    *,
    series: int | None = None,
    contrast_limits: tuple[float, float] | Literal["auto"] | None = None,
) -> Results:
    """Segment the objects that the prompts mean.

    Each object is looked at in a tile of a size that fits it: large images are not
    squeezed, small cells are magnified.

    Parameters
    ----------
    image
        ``(H, W)`` or ``(H, W, 3)`` of any type, or the path of a file with one image.
    points
        ``(2,)``, ``(N, 2)`` (N objects of one point) or ``(N, K, 2)`` x, y in pixels.
    labels
        To match ``points``: 1 on the object, 0 on background; default all 1.
    bboxes
        ``(4,)`` or ``(N, 4)`` x0, y0, x1, y1; with points they pair up object by object.
    masks
        ``(N, H, W)`` bool or integer: rough masks to start from.
    model
        Name of a model or path of a checkpoint.
    device
        "cpu", "cuda", "mps"; default the best there is.
    series
        Which image of a file that holds several, see :func:`read_image`.
    contrast_limits
        Grey values that become 0 and 255; default: uint8 as it is, else the
        percentiles 0.1 and 99.9 of the image.

    Returns
    -------
    Results
        One object per box or group of points, in their order; an object that was
        not found has an empty mask.

    Raises
    ------
    PromptError, ImageError, CheckpointError
        With a sentence on what was wrong.
    """
    path = str(image) if isinstance(image, str | Path) else ""
    file = open_image(image, series=series)
    array, axes = _one_plane(file.data, file.axes)
    plane = PlaneSource.from_image(array, limits=contrast_limits, axes=axes)
    height, width = plane.shape
    batch = gather_prompts(
        bboxes=bboxes,
        points=points,
        labels=labels,
        masks=masks,
        shape=plane.shape,
        low_res=-1,
    )
    started = time.perf_counter()
    segmenter = loading.load_segmenter(model, device, keep=True)
    loaded = time.perf_counter()
    prompts = prompts_of_batch(batch)
    found = segmenter.predict_many(plane, prompts)
    return Results(
        orig_img=array,
        objects=[item.best for item in found],
        shape=(height, width),
        path=path,
        speed={
            "load": (loaded - started) * 1000,
            "inference": (time.perf_counter() - loaded) * 1000,
        },
    )


def _one_plane(data: ArrayData, axes: str) -> tuple[Any, str]:
    """An image of one plane, without the axes of length 1."""
    inner = 3 if "S" in axes else 2
    if any(int(length) != 1 for length in data.shape[:-inner]):
        raise ImageError(
            f"The image holds several planes (its shape is {tuple(data.shape)}, its axes "
            f"are {axes}); segment takes one: give it one of them."
        )
    key = (*[0] * (len(axes) - inner), *[slice(None)] * inner)
    return np.asarray(data[key]), axes[-inner:]
