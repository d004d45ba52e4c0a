"""Shows a few objects of an image, as examples of what to look for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.fewshot.examples import (
    Example,
    ExampleBank,
    describe,
    mutual_logits,
    thumbnail,
)
from napari_cellprompt.core.images.planes import axes_of
from napari_cellprompt.core.inference.searching import SearchSettings
from napari_cellprompt.core.masks.found import FilterSettings, filter_candidates
from napari_cellprompt.core.types import CroppedMask
from napari_cellprompt.tasks.inputs.walk import walk_planes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.images.sampling import ArrayData
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.tasks.inputs.reading import ContrastLimits

__all__ = ["WANTED", "empty_bank", "teach", "teach_stack"]

WANTED = "wanted"
"""The kind of what to find, where there is no better name."""


def empty_bank(segmenter: PlaneSegmenter) -> ExampleBank:
    """A bank for the examples of one model."""
    return ExampleBank(segmenter.model.fingerprint)


def teach(
    segmenter: PlaneSegmenter,
    plane: PlaneSource,
    labels: NDArray[Any],
    bank: ExampleBank,
    *,
    kind: str = WANTED,
    ids: Collection[int] | None = None,
    source: str = "",
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> int:
    """Add objects of one plane to the examples.

    What else the plane shows tells how much objects differ there.

    Parameters
    ----------
    segmenter
        The model that the bank was made for.
    plane
        The image.
    labels
        ``(H, W)``, 0 = background.
    bank
        Is added to.
    kind
        What the objects are.
    ids
        Which of the labels; default all.
    source
        Where they are from, for people to read.
    progress
        Called with the number of parts of the plane looked at, and of all parts.
    cancelled
        Asked before each slow step; nothing is added then.

    Returns
    -------
    int
        Number of examples that were added.

    Raises
    ------
    ImageError
        Where labels and plane differ in shape.
    PromptError
        Where there is none of the objects.
    """
    if labels.shape != plane.shape:
        raise ImageError(
            f"The labels of examples must have the shape of their image, {plane.shape}: "
            f"got {labels.shape}."
        )
    present = [int(value) for value in np.unique(labels) if value > 0]
    wanted = present if ids is None else sorted(set(ids))
    missing = sorted(set(wanted) - set(present))
    if not wanted or missing:
        what = f"no objects {missing}" if missing else "no objects"
        raise PromptError(f"There are {what} among the labels of {source or 'this plane'}.")
    masks = [_cut(labels == value) for value in wanted]
    sizes = [float(mask.side) for mask in masks]
    size = bank.size or float(np.median(sizes))
    model = segmenter.model
    sights = [(mask, None) for mask in masks]
    shown = describe(model, plane, sights, size)
    memories = model.remember(plane, sights, size)
    logits = mutual_logits(model, plane, sights, size, memories)
    found = model.find(
        plane, SearchSettings(size=size), progress=progress, cancelled=cancelled
    )
    others = filter_candidates(found, FilterSettings()).kept
    bank.add(
        [
            Example(kind, values, thumbnail(plane, mask), source, side, memory, logit)
            for values, mask, side, memory, logit in zip(
                shown.values, masks, sizes, memories, logits, strict=True
            )
        ],
        shown.weights,
    )
    bank.add_population(shown.values)
    if others:
        around = describe(model, plane, [(item.mask, item.tile) for item in others], size)
        bank.add_population(around.values)
    return len(masks)


def teach_stack(
    segmenter: PlaneSegmenter,
    data: ArrayData,
    labels: NDArray[Any],
    bank: ExampleBank,
    *,
    axes: str | None = None,
    channel: int | None = None,
    limits: ContrastLimits = None,
    kind: str = WANTED,
    source: str = "",
) -> int:
    """Add the labelled objects of all planes of an image; see :func:`teach`."""
    letters = axes_of(data.shape, data.dtype, axes)
    shape = tuple(
        int(n) for letter, n in zip(letters, data.shape, strict=True) if letter not in "CS"
    )
    if labels.shape != shape:
        raise ImageError(
            f"The labels of examples must have the shape of their image, {shape}: got "
            f"{labels.shape}{f' for {source}' if source else ''}."
        )
    count = 0
    for position, plane in walk_planes(data, axes=axes, channel=channel, limits=limits):
        if (labels[position] > 0).any():
            count += teach(
                segmenter, plane, labels[position], bank, kind=kind, source=source
            )
    if not count:
        raise PromptError(f"There are no objects among the labels of {source or 'it'}.")
    return count


def _cut(mask: NDArray[np.bool_]) -> CroppedMask:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    return CroppedMask(mask[y0:y1, x0:x1], (int(y0), int(x0)), mask.shape)
