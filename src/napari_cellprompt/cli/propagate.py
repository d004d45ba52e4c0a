"""``cellprompt propagate``: a stack and prompts in, objects on every plane out."""

from __future__ import annotations

import contextlib
import csv
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.images.contrast import check_limits
from napari_cellprompt.core.images.fingerprint import fingerprint
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.core.masks.rle import encode as encode_rle
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.outputs import (
    check_label_file,
    check_output,
    save_labels,
    write_or_keep,
)
from napari_cellprompt.io.prompts_json import ObjectPrompts, read_prompts
from napari_cellprompt.tasks import loading

from . import segment
from .segment import SegmentRequest, contrast_of, counted, describe, place_objects, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.core.propagate.outcomes import Outcomes
    from napari_cellprompt.core.propagate.propagator import StackPropagator
    from napari_cellprompt.core.propagate.types import Direction
    from napari_cellprompt.io.image_files import ImageFile

    from .segment import PlacedObject

__all__ = ["PropagateRequest", "run_propagate"]

_LARGEST_PARENT = 2**31
_LONG = 20.0
"""Seconds from which on a run is announced."""


@dataclass(frozen=True, slots=True)
class PropagateRequest:
    """What the command line asks for."""

    image: Path
    output: Path
    prompts: Path | None = None
    seeds: Path | None = None
    """Labels of one plane, instead of prompts; ids are kept."""
    plane: int | None = None
    """The plane of the seeds."""
    along: str | None = None
    direction: Direction = "both"
    start: int | None = None
    stop: int | None = None
    model: str = DEFAULT_MODEL
    device: str = "auto"
    axes: str | None = None
    channel: int | None = None
    series: int | None = None
    """Which image of a file of several, see ``read_image``."""
    contrast: tuple[float, float] | None = None
    divisions: bool = False
    disk_cache: float = 0
    """MB of features that are kept in files."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of ``PropagationSettings``."""
    memory: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of ``TrackSettings``."""


@dataclass(slots=True)
class _Group:
    """The objects of one stack: one position of the other axes, one channel."""

    position: dict[str, int]
    engine: StackPropagator


def run_propagate(request: PropagateRequest) -> bool:
    """Follow and write; progress goes to the standard error stream.

    Everything that can be wrong with the files is found before the model is loaded.
    An interrupt ends the run within a plane; what was followed is written.

    Returns
    -------
    bool
        False when it was interrupted.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    """
    source = request.prompts or request.seeds
    if source is None:
        raise PromptError("Say where to start: give --prompts or --seeds.")
    like = SegmentRequest(
        image=request.image,
        prompts=source,
        output=request.output,
        axes=request.axes,
        along=request.along,
        channel=request.channel,
        contrast=request.contrast,
    )
    tracks_file = request.output.with_name(f"{request.output.stem}_tracks.csv")
    inputs = (request.image, source, segment.model_file(request.model))
    check_label_file(request.output, inputs)
    if request.divisions:
        check_output(tracks_file, inputs)
    if request.contrast is not None:
        check_limits(request.contrast)
    image = read_image(request.image, request.axes, series=request.series)
    lengths = dict(zip(image.axes, (int(n) for n in image.data.shape), strict=True))
    along = _along(request, image)
    if request.divisions and along != "T":
        raise PromptError("Divisions are looked for in time: they need --axis t.")
    _check_range(request, lengths[along], along)
    objects = read_prompts(source) if request.prompts else _seeds(request, image, along)
    if not objects:
        raise PromptError(f"{source.name} holds no objects.")
    placed = place_objects(like, image, objects)
    if request.divisions and max(item.id for item in objects) > _LARGEST_PARENT:
        raise PromptError(
            f"With --divisions ids must not be larger than {_LARGEST_PARENT}: new ones "
            f"follow the largest."
        )
    describe(request.image, image)
    check_label_file(request.output, inputs, image.grid)
    groups = _groups(request, like, image, along, placed)
    with _interruptible() as interrupted:
        complete = True
        for group in groups:
            complete = _follow(request, group, interrupted) and complete
        tracks = None
        if request.divisions and complete:
            tracks = _divide(request, groups, interrupted)
            complete = not interrupted.is_set()
    try:
        if tracks is not None:
            # First, so that they are there whatever becomes of the labels.
            _write_tracks(tracks_file, tracks)
    finally:
        _write(request, image, along, groups)
    ids = {object_id for group in groups for object_id in group.engine.ids}
    say(
        f"{counted(len(ids))} written to {request.output}"
        + ("" if complete else "; interrupted: the planes not reached are empty")
    )
    return complete


def _along(request: PropagateRequest, image: ImageFile) -> str:
    letters = [letter for letter in "ZT" if letter in image.axes]
    wanted = None if request.along is None else request.along.upper()
    if not letters or (wanted is not None and wanted not in letters):
        raise ImageError(
            f"{request.image.name} has no axis {wanted or 'Z or T'} to propagate along: "
            f"its axes are {image.axes} (--axes names them)."
        )
    return wanted or letters[0]


def _check_range(request: PropagateRequest, length: int, along: str) -> None:
    for name, value in (
        ("--start", request.start),
        ("--stop", request.stop),
        ("--plane", request.plane),
    ):
        if value is not None and not 0 <= value < length:
            raise PromptError(
                f"{name} must lie in 0 to {length - 1}, the planes along {along}: "
                f"got {value}."
            )
    if request.start is not None and request.stop is not None:
        if request.start > request.stop:
            raise PromptError(
                f"--start must not come after --stop: got {request.start} and "
                f"{request.stop}."
            )


def _seeds(request: PropagateRequest, image: ImageFile, along: str) -> list[ObjectPrompts]:
    """Each id of a label image as the painted mask of an object."""
    if request.seeds is None:
        return []
    if request.plane is None:
        raise PromptError("--seeds needs --plane: the plane that the labels belong to.")
    found = read_labels(request.seeds)
    labels = found.labels
    if labels.ndim == 3 and found.axes[0] in "ZT":
        if request.plane >= len(labels):
            raise PromptError(
                f"{request.seeds.name} has {len(labels)} planes, none of number "
                f"{request.plane}."
            )
        labels = labels[request.plane]
    size = tuple(image.data.shape[image.axes.index(letter)] for letter in "YX")
    if labels.shape != size:
        raise PromptError(
            f"{request.seeds.name} must be one plane of {size[1]} x {size[0]} pixels as "
            f"the image, or a stack of these: its shape is {found.labels.shape}."
        )
    return [
        ObjectPrompts(int(i), request.plane, {}, Prompts(mask=encode_rle(labels == i)))
        for i in np.unique(labels)
        if i > 0
    ]


def _groups(
    request: PropagateRequest,
    like: SegmentRequest,
    image: ImageFile,
    along: str,
    placed: list[PlacedObject],
) -> list[_Group]:
    """Load the model and prompt every object in the stack that it belongs to."""
    from napari_cellprompt.core.inference.sam.tracking import TrackSettings
    from napari_cellprompt.core.propagate.propagator import StackPropagator
    from napari_cellprompt.core.propagate.types import PropagationSettings

    try:
        track = TrackSettings(**{"max_prompted": 4, **request.memory})
    except ValueError as error:
        raise PromptError(str(error)) from error
    settings = PropagationSettings(**request.settings, track=track)
    started = time.perf_counter()
    segmenter = loading.load_segmenter(
        request.model, request.device, disk_bytes=round(request.disk_cache * 10**6)
    )
    say(f"model {request.model} loaded in {time.perf_counter() - started:.1f} s")
    image_id = fingerprint(image.data)
    outer = [letter for letter in image.axes if letter in "TZ"]
    groups: dict[tuple[Any, ...], _Group] = {}
    for item in placed:
        at = dict(zip(outer, item.position, strict=True))
        plane = at.pop(along)
        key = (*at.items(), item.channel)
        if key not in groups:
            stack = ImageStack(
                image.data,
                along=along,
                axes=image.axes,
                at=at,
                channel=item.channel,
                limits=contrast_of(like, image, item.channel),
                image_id=image_id,
            )
            groups[key] = _Group(at, StackPropagator(segmenter, stack, settings))
        outcome = groups[key].engine.prompt(item.item.id, plane, item.item.prompts)
        if outcome.mask is None:
            say(f"object {item.item.id} was not found on plane {plane}")
    return [group for group in groups.values() if group.engine.ids]


def _follow(request: PropagateRequest, group: _Group, interrupted: threading.Event) -> bool:
    """Propagate one stack; False when it was interrupted."""
    engine = group.engine
    arguments: dict[str, Any] = {
        "start": request.start,
        "stop": request.stop,
        "direction": request.direction,
        "cancelled": interrupted.is_set,
    }
    expected = engine.estimate(**arguments) if not interrupted.is_set() else None
    if expected is not None and expected.seconds > _LONG:
        say(
            f"{expected.planes} planes of {counted(len(engine.ids))}: about "
            f"{_duration(expected.seconds)}, at most "
            f"{expected.nbytes / 2**20:.0f} MB of features and memories"
        )
    started = told = time.perf_counter()
    before = engine.tracked
    for plane, _ in engine.propagate(**arguments):
        now = time.perf_counter()
        if now - told >= 1.0:
            told = now
            left = engine.remaining * (now - started) / max(engine.tracked - before, 1)
            say(f"plane {plane} done, {_duration(left)} left")
    done = engine.tracked - before
    say(f"{done} planes of objects in {_duration(time.perf_counter() - started)}")
    return not interrupted.is_set()


def _divide(
    request: PropagateRequest, groups: list[_Group], interrupted: threading.Event
) -> list[tuple[int, int, int, int]]:
    """Let objects that stay in two parts end, follow the parts; the tracks."""
    parents: dict[int, int] = {}
    free = max(max(group.engine.ids) for group in groups) + 1
    for group in groups:
        found = group.engine.divisions()
        while found and not interrupted.is_set():
            for division in found:
                daughters = (free, free + 1)
                free += 2
                group.engine.split(division, daughters)
                parents.update(dict.fromkeys(daughters, division.id))
                say(f"object {division.id} divides on plane {division.plane}: {daughters}")
            _follow(request, group, interrupted)
            found = group.engine.divisions()
    tracks = []
    for group in groups:
        for object_id in group.engine.ids:
            planes = [
                plane
                for plane in group.engine.planes(object_id)
                if (outcome := group.engine.outcome(object_id, plane)) and outcome.mask
            ]
            if planes:
                parent = parents.get(object_id, 0)
                tracks.append((object_id, planes[0], planes[-1], parent))
    return sorted(tracks)


def _write(
    request: PropagateRequest, image: ImageFile, along: str, groups: list[_Group]
) -> None:
    grid = image.grid
    labels = _Labels(
        grid.shape,
        grid.axes,
        along,
        [(group.position, group.engine.outcomes()) for group in groups],
    )
    save_labels(request.output, labels, grid)


def _write_tracks(path: Path, tracks: list[tuple[int, int, int, int]]) -> None:
    def write(target: Path) -> None:
        with replacing(target) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("label", "first", "last", "parent"))
            writer.writerows(tracks)

    write_or_keep(path, write)
    say(f"tracks written to {path}")


class _Labels:
    """The label stack, each plane drawn when it is written."""

    def __init__(
        self,
        shape: tuple[int, ...],
        axes: str,
        along: str,
        groups: list[tuple[dict[str, int], Outcomes]],
    ) -> None:
        self.shape = shape
        self.axes = axes
        self._along = along
        self._groups = groups
        ids = [object_id for _, known in groups for object_id, _ in known]
        self.dtype = smallest_dtype(max(ids, default=0))

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        at = {
            letter: index
            for letter, index in zip(self.axes, key, strict=True)
            if not isinstance(index, slice)
        }
        plane = at.pop(self._along)
        drawn = np.zeros((self.shape[-2], self.shape[-1]), self.dtype)
        for position, outcomes in self._groups:
            if position == at:
                found = outcomes.labels(plane, drawn.shape)
                drawn = np.where(drawn == 0, found, drawn).astype(self.dtype)
        return drawn


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Let Ctrl-C set an event; a second one interrupts as usual."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before: Callable[..., Any] | int | None = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        say("interrupted: finishing this plane, then writing (again to stop at once)")
        event.set()

    signal.signal(signal.SIGINT, stop)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
