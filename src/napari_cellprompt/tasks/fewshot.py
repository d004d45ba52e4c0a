"""Shows a few objects of an image, and finds all others of their kind.

Segment everything finds candidates; the examples decide which of them are wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.fewshot.examples import (
    OTHER,
    Example,
    ExampleBank,
    describe,
    mutual_logits,
    thumbnail,
)
from napari_cellprompt.core.images.planes import axes_of, planes_last
from napari_cellprompt.core.inference.searching import SearchSettings
from napari_cellprompt.core.masks.found import (
    FilterSettings,
    FoundObject,
    filter_candidates,
)
from napari_cellprompt.core.masks.labels import resolve_overlaps, smallest_dtype
from napari_cellprompt.core.types import CroppedMask
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.sources import as_given, open_image

from .walk import walk_planes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.images.sampling import ArrayData
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter

__all__ = [
    "OTHER",
    "WANTED",
    "ScoredObject",
    "apply_to_plane",
    "apply_to_stack",
    "choose",
    "empty_bank",
    "fewshot",
    "label_chosen",
    "label_planes",
    "teach",
    "teach_stack",
]

WANTED = "wanted"
"""The kind of what to find, where there is no better name."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredObject:
    """A candidate, and which kind it seems to be of."""

    found: FoundObject
    kind: str
    """The kind that fits best."""
    score: float
    """How sure that is, 0 to 1."""


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
    cancelled
        Asked before each slow step.

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
    sizes = [_longer_side(mask) for mask in masks]
    size = bank.size or float(np.median(sizes))
    model = segmenter.model
    sights = [(mask, None) for mask in masks]
    shown = describe(model, plane, sights, size)
    memories = model.remember(plane, sights, size)
    logits = mutual_logits(model, plane, sights, size, memories)
    found = model.find(plane, SearchSettings(size=size), cancelled=cancelled)
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
    limits: tuple[float, float] | Literal["auto"] | None = None,
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
    threshold: float = 0.5,
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
    limits: tuple[float, float] | Literal["auto"] | None = None,
    threshold: float = 0.5,
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


def fewshot(
    examples: Sequence[tuple[ArrayData | str | Path, Any]],
    images: Iterable[ArrayData | str | Path],
    model: str | Path = DEFAULT_MODEL,
    device: str | None = None,
    *,
    others: Sequence[tuple[ArrayData | str | Path, Any]] = (),
    threshold: float = 0.5,
    axes: str | None = None,
    channel: int | None = None,
    contrast_limits: tuple[float, float] | Literal["auto"] | None = None,
) -> Iterator[NDArray[Any]]:
    """Label all objects that look like a few examples, image by image.

    Parameters
    ----------
    examples
        Images and the labels of wanted objects on them, 0 = background. A few objects of
        one image are enough.
    images
        Where to look, each read when its turn comes: planes or stacks of any type, or
        paths of files of them.
    model
        Name of a model or path of a checkpoint.
    device
        "cpu", "cuda", "mps"; default the best there is.
    others
        Like ``examples``: objects that are not wanted.
    threshold
        Score from which on an object is taken, 0 to 1.
    axes
        Letters of the axes of all images, such as TZYX; see :func:`axes_of`.
    channel
        Needed where there is an axis C of more than one channel.
    contrast_limits
        Grey values that become 0 and 255; default: uint8 as it is, else the
        percentiles 0.1 and 99.9 of each image.

    Yields
    ------
    ndarray
        Labels of each image, of its shape without channels and samples, 0 = background,
        in the smallest unsigned type that holds the ids.

    Raises
    ------
    PromptError
        Where there are no examples.
    ImageError, CheckpointError
        With a sentence on what was wrong.

    Examples
    --------
    >>> for labels in fewshot([(image, three_cells)], other_images):
    ...     print(labels.max())
    """
    from . import loading

    segmenter = loading.load_segmenter(model, device, keep=True)
    bank = empty_bank(segmenter)
    for kind, pairs in ((WANTED, examples), (OTHER, others)):
        for image, labels in pairs:
            file = open_image(image, axes)
            flat = None if axes is None else "".join(x for x in axes.upper() if x in "TZYX")
            truth, _ = planes_last(np.asarray(labels), flat)
            teach_stack(
                segmenter,
                file.data,
                np.asarray(truth),
                bank,
                axes=file.axes,
                channel=channel,
                limits=contrast_limits,
                kind=kind,
            )
    for image in images:
        file = open_image(image, axes)
        found = np.zeros(file.grid.shape, np.uint32)
        planes = apply_to_stack(
            segmenter,
            file.data,
            bank,
            axes=file.axes,
            channel=channel,
            limits=contrast_limits,
            threshold=threshold,
        )
        for position, plane, _ in planes:
            found[position] = plane
        found = found.astype(smallest_dtype(int(found.max(initial=0))))
        yield as_given(found, file, image, axes)


def _cut(mask: NDArray[np.bool_]) -> CroppedMask:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    return CroppedMask(mask[y0:y1, x0:x1], (int(y0), int(x0)), mask.shape)


def _longer_side(mask: CroppedMask) -> float:
    x0, y0, x1, y1 = mask.box or (0, 0, 0, 0)
    return float(max(x1 - x0, y1 - y0))
