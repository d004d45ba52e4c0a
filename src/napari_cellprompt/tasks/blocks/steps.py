"""What a worker does with one block: look for its objects, then draw its part."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.searching import SearchSettings
from napari_cellprompt.core.masks.found import FilterSettings, filter_candidates
from napari_cellprompt.core.masks.labels import resolve_overlaps
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.ome_zarr import LabelStore
from napari_cellprompt.tasks.inputs import loading

from .files import Found, Workspace
from .plan import Block
from .seams import Meeting, meetings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.masks.found import FoundObject
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.tasks.requests import EverythingRequest

__all__ = ["Sample", "Seen", "Task", "draw", "find", "meet", "survey"]

_SAMPLED = 1024
"""Rows and columns of a part that is looked at to find the size of the objects."""
_LOOKED_AT = 64
"""Places where a little is read, to choose those parts."""
_SEARCHED = 4


@dataclass(frozen=True, slots=True)
class Task:
    """All that a worker has to know of a run; the same for every block."""

    request: EverythingRequest
    channel: int | None
    limits: tuple[float, float] | None
    """Grey values that become 0 and 255 in the whole image."""
    size: float | None
    """Longer side of the objects in pixels; None while it is not known."""
    workspace: Workspace
    store: LabelStore | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a block holds."""

    objects: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What a few parts of an image tell."""

    size: float | None
    """Longer side of the objects in pixels; None where there are none."""
    seconds_per_pixel: float


_kept: list[Any] = []


def find(work: tuple[Task, Block], attempt: int = 1) -> Seen:
    """Label one block, margin included, and keep that as a file."""
    task, block = work
    started = time.perf_counter()
    plane = _plane(task, block.position, block.outer)
    candidates = _candidates(task, plane, task.size)
    height, width = _plane_size(task)
    y0, x0, y1, x1 = block.outer
    ends = (y0 > 0, x0 > 0, y1 < height, x1 < width)
    items = [_placed(item, plane.shape, ends) for item in candidates]
    filters = task.request.filters or FilterSettings()
    kept = filter_candidates([item for item, _ in items], filters).kept
    cut = {id(item.candidate): was_cut for item, was_cut in items}
    labels = resolve_overlaps(
        [item.candidate for item in kept], range(1, len(kept) + 1), plane.shape
    )
    found = Found(
        quality=np.array([item.quality for item in kept], np.float32),
        middle=_middles(labels, len(kept), (y0, x0)),
        area=np.bincount(labels.ravel(), minlength=len(kept) + 1)[1:].astype(np.int64),
        cut=np.array([cut.get(id(item.candidate), False) for item in kept], bool),
    )
    task.workspace.save_found(block, labels, found)
    return Seen(len(kept), time.perf_counter() - started)


def meet(work: tuple[Task, Block, Block], attempt: int = 1) -> list[Meeting]:
    """What the objects of two neighbouring blocks share."""
    task, first, second = work
    space = task.workspace
    return meetings(first, space.labels(first), second, space.labels(second))


def draw(work: tuple[Task, Block, list[Block]], attempt: int = 1) -> int:
    """Write the core of a block with what it and its neighbours show there.

    Where two objects of different blocks share pixels, they are the own block's.
    """
    task, block, around = work
    y0, x0, y1, x1 = block.core
    drawn = np.zeros((y1 - y0, x1 - x0), np.uint32)
    for other in (block, *around):
        top, left = max(y0, other.outer[0]), max(x0, other.outer[1])
        bottom, right = min(y1, other.outer[2]), min(x1, other.outer[3])
        if top >= bottom or left >= right:
            continue
        ids = task.workspace.ids(other)
        if not ids.any():
            continue
        labels = task.workspace.labels(other)
        part = labels[
            top - other.outer[0] : bottom - other.outer[0],
            left - other.outer[1] : right - other.outer[1],
        ]
        here = drawn[top - y0 : bottom - y0, left - x0 : right - x0]
        np.copyto(here, ids[part], where=here == 0)
    if task.store is not None and drawn.any():
        task.store.write(block.position, y0, x0, drawn)
    return int(np.count_nonzero(drawn))


def survey(task: Task, attempt: int = 1) -> Sample:
    """Look at the parts of an image that hold most, and find the size of the objects."""
    height, width = _plane_size(task)
    side_y, side_x = min(height, _SAMPLED), min(width, _SAMPLED)
    places = _busiest(task, (height, width), (side_y, side_x))
    sides: list[float] = []
    started, pixels = time.perf_counter(), 0
    filters = task.request.filters or FilterSettings()
    for position, y0, x0 in places:
        plane = _plane(task, position, (y0, x0, y0 + side_y, x0 + side_x))
        kept = filter_candidates(_candidates(task, plane, task.size), filters).kept
        sides += [float(item.mask.side) for item in kept]
        pixels += side_y * side_x
    size = task.size or (float(np.median(sides)) if sides else None)
    return Sample(size, (time.perf_counter() - started) / max(pixels, 1))


def _busiest(
    task: Task, plane: tuple[int, int], side: tuple[int, int]
) -> list[tuple[tuple[int, ...], int, int]]:
    """Places whose grey values differ most, of some that are spread over the image."""
    image = _image(task)
    outer = [range(length) for length in image.grid.shape[:-2]]
    rng = np.random.default_rng(0)
    rated = []
    for _ in range(_LOOKED_AT):
        position = tuple(int(rng.integers(len(axis))) for axis in outer)
        y0 = int(rng.integers(plane[0] - side[0] + 1))
        x0 = int(rng.integers(plane[1] - side[1] + 1))
        source = _source(task, image, position)
        middle = (side[0] // 2, side[1] // 2)
        step = min(256, *side)
        top = y0 + max(0, middle[0] - step // 2)
        left = x0 + max(0, middle[1] - step // 2)
        pixels = source.read_grey(top, top + step, left, left + step)
        rated.append((-float(pixels.std()), position, y0, x0))
        if plane == side and not outer:
            break
    return [(position, y0, x0) for _, position, y0, x0 in sorted(rated)[:_SEARCHED]]


def _candidates(task: Task, plane: PlaneSource, size: float | None) -> list[FoundObject]:
    """What may be objects on a part of a plane; nothing where it is of one grey value."""
    pixels = plane.read(0, plane.shape[0], 0, plane.shape[1])
    if pixels.min() == pixels.max():
        return []
    settings = SearchSettings(mode=task.request.mode, size=size)
    return _model(task).model.find(plane, settings)


def _placed(
    item: FoundObject, shape: tuple[int, int], ends: tuple[bool, bool, bool, bool]
) -> tuple[FoundObject, bool]:
    """An object of a part of a plane, with the borders of the plane, and whether the part
    ends within it.
    """
    box = item.mask.box
    if box is None:
        return item, False
    at = (box[1] <= 0, box[0] <= 0, box[3] >= shape[0], box[2] >= shape[1])
    cut = any(here and end for here, end in zip(at, ends, strict=True))
    border = any(here and not end for here, end in zip(at, ends, strict=True))
    return (
        replace(item, touches_border=border, cut_by_tile=item.cut_by_tile or cut),
        cut,
    )


def _middles(
    labels: NDArray[Any], count: int, origin: tuple[int, int]
) -> NDArray[np.float64]:
    """Mean row and column of each label 1 to ``count``, in pixels of the plane."""
    flat = labels.ravel()
    area = np.maximum(np.bincount(flat, minlength=count + 1)[1:], 1)
    middles = np.empty((count, 2))
    for axis in (0, 1):
        shape = [1, 1]
        shape[axis] = labels.shape[axis]
        ticks = np.broadcast_to(
            np.arange(labels.shape[axis], dtype=np.float64).reshape(shape), labels.shape
        )
        sums = np.bincount(flat, weights=ticks.ravel(), minlength=count + 1)[1:]
        middles[:, axis] = sums / area + origin[axis]
    return middles


def _plane(
    task: Task, position: tuple[int, ...], window: tuple[int, int, int, int]
) -> PlaneSource:
    """A part of a plane in memory, as a plane of its own, with the image's contrast."""
    y0, x0, y1, x1 = window
    source = _source(task, _image(task), position)
    pixels = source.read_raw(y0, y1, x0, x1)
    axes = "YXS" if source.is_rgb else "YX"
    return PlaneSource.from_image(
        pixels, task.limits, axes=axes, image_id=f"{task.request.image}:{position}:{window}"
    )


def _source(task: Task, image: Any, position: tuple[int, ...]) -> PlaneSource:
    letters = "".join(letter for letter in image.axes if letter in "TZ")
    return PlaneSource.from_image(
        image.data,
        task.limits,
        axes=image.axes,
        at=dict(zip(letters, position, strict=True)),
        channel=task.channel,
        image_id=str(task.request.image),
    )


def _image(task: Task) -> Any:
    request = task.request
    return read_image(request.image, request.axes, series=request.series, lazy=True)


def _plane_size(task: Task) -> tuple[int, int]:
    height, width = _image(task).grid.shape[-2:]
    return int(height), int(width)


def _model(task: Task) -> PlaneSegmenter:
    """The model, loaded once in the life of a worker."""
    segmenter = loading.load_segmenter(task.request.model, task.request.device)
    if segmenter not in _kept:
        _kept[:] = [segmenter]
    return segmenter
