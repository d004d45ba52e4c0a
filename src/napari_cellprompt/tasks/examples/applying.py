"""Finds all objects of the kinds that examples show, on planes and stacks.

Segment everything finds candidates; the examples decide which of them are wanted.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.fewshot.examples import OTHER, ExampleBank, describe
from napari_cellprompt.core.inference.searching import SearchSettings
from napari_cellprompt.core.masks.found import (
    FilterSettings,
    FoundObject,
    filter_candidates,
)
from napari_cellprompt.core.masks.labels import resolve_overlaps, smallest_dtype
from napari_cellprompt.tasks.inputs.walk import walk_planes
from napari_cellprompt.tasks.requests import DEFAULT_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.images.sampling import ArrayData
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.tasks.inputs.reading import ContrastLimits

__all__ = [
    "OTHER",
    "LabelledImage",
    "ScoredObject",
    "apply_to_image",
    "apply_to_plane",
    "apply_to_stack",
    "choose",
    "label_chosen",
    "label_planes",
]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredObject:
    """A candidate, and which kind it seems to be of."""

    found: FoundObject
    kind: str
    """The kind that fits best."""
    score: float
    """How sure that is, 0 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """The wanted objects of one image."""

    labels: NDArray[np.uint32]
    """On the grid of the image, 0 = background, every object with an id of its own."""
    objects: tuple[tuple[tuple[int, ...], ScoredObject], ...]
    """Position along the axes T and Z and the object, by rising id."""

    def smallest(self) -> NDArray[Any]:
        """The labels in the smallest unsigned type that holds the ids."""
        return self.labels.astype(smallest_dtype(int(self.labels.max(initial=0))))


def apply_to_plane(
    segmenter: PlaneSegmenter,
    plane: PlaneSource,
    bank: ExampleBank,
    *,
    filters: FilterSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[ScoredObject]:
    """Find all objects of a plane and say of which kind each is.

    Objects are looked for at the size of the examples. Nothing is chosen yet;
    :func:`choose` does, and again with another threshold at no cost.

    Raises
    ------
    PromptError
        Where there are no examples.
    concurrent.futures.CancelledError
        Where ``cancelled`` said so.
    """
    if bank.size is None:
        raise PromptError("There are no examples yet: show at least one object.")
    model, size = segmenter.model, bank.size
    found = model.find(
        plane,
        SearchSettings(size=size),
        progress=progress,
        cancelled=cancelled,
    )
    kept = filter_candidates(found, FilterSettings() if filters is None else filters).kept
    if not kept:
        return []
    sights = [(item.mask, item.tile) for item in kept]
    told = describe(model, plane, sights, size)
    known = [bank.memories(kind) for kind in bank.kinds]
    logits = None
    if all(known):
        columns = [model.recognise(plane, sights, size, some) for some in known]
        logits = np.stack(columns, axis=1)
    scores = bank.scores(told.values, logits)
    best = scores.argmax(axis=1)
    return [
        ScoredObject(item, bank.kinds[column], float(row[column]))
        for item, row, column in zip(kept, scores, best, strict=True)
    ]


def choose(
    scored: Sequence[ScoredObject],
    threshold: float = DEFAULT_THRESHOLD,
    kinds: Collection[str] | None = None,
) -> list[ScoredObject]:
    """The objects that are of a wanted kind.

    Parameters
    ----------
    scored
        As :func:`apply_to_plane` gave them.
    threshold
        Scores from which on an object is taken, 0 to 1.
    kinds
        What is wanted; default all kinds but "other".
    """
    return [
        item
        for item in scored
        if item.score >= threshold
        and (item.kind != OTHER if kinds is None else item.kind in kinds)
    ]


def label_chosen(
    chosen: Sequence[ScoredObject], shape: tuple[int, int], first_id: int = 1
) -> NDArray[Any]:
    """Labels ``(H, W)`` of objects, numbered in their order."""
    ids = range(first_id, first_id + len(chosen))
    return resolve_overlaps([item.found.candidate for item in chosen], ids, shape)


def label_planes(
    chosen: Mapping[int, Sequence[ScoredObject]], shape: tuple[int, int, int]
) -> NDArray[np.uint32]:
    """Labels of planes, every object with an id of its own.

    Parameters
    ----------
    chosen
        Objects by the number of their plane.
    shape
        Number of planes, also of those without objects, and ``H, W`` of each.
    """
    labels: NDArray[np.uint32] = np.zeros(shape, np.uint32)
    first = 1
    for number, items in chosen.items():
        labels[number] = label_chosen(items, shape[1:], first)
        first += len(items)
    return labels


def apply_to_stack(
    segmenter: PlaneSegmenter,
    data: ArrayData,
    bank: ExampleBank,
    *,
    axes: str | None = None,
    channel: int | None = None,
    limits: ContrastLimits = None,
    threshold: float = DEFAULT_THRESHOLD,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[tuple[tuple[int, ...], NDArray[Any], list[ScoredObject]]]:
    """Label the wanted objects of each plane; every plane has ids of its own.

    Yields
    ------
    tuple
        Position along the axes T and Z, labels ``(H, W)``, and the objects by rising id.
    """
    first = 1
    for position, plane in walk_planes(data, axes=axes, channel=channel, limits=limits):
        if cancelled is not None and cancelled():
            raise CancelledError
        chosen = choose(
            apply_to_plane(segmenter, plane, bank, cancelled=cancelled), threshold
        )
        yield position, label_chosen(chosen, plane.shape, first), chosen
        first += len(chosen)


def apply_to_image(
    segmenter: PlaneSegmenter,
    image: ImageFile,
    bank: ExampleBank,
    *,
    channel: int | None = None,
    limits: ContrastLimits = None,
    threshold: float = DEFAULT_THRESHOLD,
    cancelled: Callable[[], bool] | None = None,
) -> LabelledImage:
    """Label the wanted objects of an opened image; see :func:`apply_to_stack`."""
    labels: NDArray[np.uint32] = np.zeros(image.grid.shape, np.uint32)
    objects: list[tuple[tuple[int, ...], ScoredObject]] = []
    planes = apply_to_stack(
        segmenter,
        image.data,
        bank,
        axes=image.axes,
        channel=channel,
        limits=limits,
        threshold=threshold,
        cancelled=cancelled,
    )
    for position, plane, chosen in planes:
        labels[position] = plane
        objects += [(position, item) for item in chosen]
    return LabelledImage(labels, tuple(objects))
