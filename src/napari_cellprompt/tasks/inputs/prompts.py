"""Prompts as a script gives them become the prompts of the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.masks.rle import encode as encode_rle
from napari_cellprompt.core.types import Prompts

if TYPE_CHECKING:
    from napari_cellprompt.core.inference.sam.decoding import PromptBatch

__all__ = ["prompts_of", "prompts_of_batch"]


def prompts_of(item: Any, shape: tuple[int, int], name: str) -> Prompts:
    """Check what was said about one object, and return it as prompts.

    Parameters
    ----------
    item
        Prompts, or a dict with points, labels, box and mask.
    shape
        Rows and columns of the plane.
    name
        What it is called in messages.

    Raises
    ------
    PromptError
        When it is neither, or does not fit the plane.
    """
    prompts = item if isinstance(item, Prompts) else _of_mapping(item)
    prompts.check_usable(shape, name)
    return prompts


def prompts_of_batch(batch: PromptBatch) -> list[Prompts]:
    """Return the prompts of each object of a batch that was checked."""
    found = []
    for row in range(len(batch)):
        kinds = batch.labels[row]
        clicks = (kinds == 0) | (kinds == 1)
        corners = batch.points[row][kinds >= 2].ravel().tolist()
        found.append(
            Prompts(
                points=tuple((float(x), float(y)) for x, y in batch.points[row][clicks]),
                labels=tuple(int(kind) for kind in kinds[clicks]),
                box=tuple(corners) if corners else None,
                mask=None if batch.masks is None else encode_rle(batch.masks[row]),
            )
        )
    return found


def _of_mapping(item: Any) -> Prompts:
    if not isinstance(item, Mapping):
        raise PromptError(
            "Each prompt must be a dict with points, labels, box or mask: "
            f"got {type(item).__name__}."
        )
    unknown = sorted(set(item) - {"points", "labels", "box", "mask"})
    if unknown:
        raise PromptError(
            f"A prompt has points, labels, box and mask, but not {', '.join(unknown)}."
        )
    try:
        points = np.asarray(item.get("points", ()), dtype=float).reshape(-1, 2)
    except ValueError as error:
        raise PromptError(f"points must have the shape (K, 2): {error}.") from error
    labels = item.get("labels", [1] * len(points))
    box, mask = item.get("box"), item.get("mask")
    if box is not None:
        if np.shape(box) != (4,):
            raise PromptError(f"box must be x0, y0, x1, y1: got the shape {np.shape(box)}.")
        x0, y0, x1, y1 = (float(edge) for edge in box)
        box = (x0, y0, x1, y1)
    return Prompts(
        points=tuple((float(x), float(y)) for x, y in points),
        labels=tuple(int(label) for label in labels),
        box=box,
        mask=None if mask is None else encode_rle(np.asarray(mask)),
    )
