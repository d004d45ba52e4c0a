"""Follows objects through a stack: one call for a notebook, or for files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.images.fingerprint import fingerprint
from napari_cellprompt.core.images.stack import ImageStack, axis_along
from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.core.masks.rle import encode as encode_rle
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.outputs import (
    check_label_file,
    check_output,
    save_all,
    save_labels,
)
from napari_cellprompt.io.prompts_json import ObjectPrompts, read_prompt_file
from napari_cellprompt.io.sources import open_image
from napari_cellprompt.tasks.inputs.composing import read_shown
from napari_cellprompt.tasks.inputs.placing import outer_axes, place_objects
from napari_cellprompt.tasks.inputs.prompts import prompts_of
from napari_cellprompt.tasks.inputs.reading import (
    axis_lengths,
    contrast_of,
    load_model_of,
    model_file,
    say_what_is_read,
)

from .divisions import LARGEST_PARENT, divide, write_tracks
from .followed import Keeper
from .following import Seed, Span, announce, follow_objects, prompt_seeds
from .inputs import loading
from .report import SILENT, Report, counted
from .resuming import begin, end, unfinished_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.core.propagate.outcomes import Outcomes
    from napari_cellprompt.core.propagate.types import Direction, PropagationSettings
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.tasks.inputs.placing import PlacedObject
    from napari_cellprompt.tasks.inputs.reading import ContrastLimits

    from .requests import PropagateRequest

__all__ = ["propagate", "run"]


@dataclass(slots=True)
class _Group:
    """The objects of one stack: one position of the other axes, one channel."""

    position: dict[str, int]
    engine: StackPropagator


def run(request: PropagateRequest, report: Report = SILENT) -> bool:
    """Follow objects from prompts or labels of a file; write a label TIFF.

    Everything that can be wrong with the files is found before the model is loaded.

    Parameters
    ----------
    request
        The files, and what is wanted of them.
    report
        Told plane by plane. Where it says to stop while objects are followed, the run ends
        within a plane, and what was followed is written. Asked again, it goes on from
        there; divisions are looked for anew.

    Returns
    -------
    bool
        False when it was stopped.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    """
    source = request.prompts or request.seeds
    if source is None:
        raise PromptError("Say where to start: give --prompts or --seeds.")
    tracks_file = request.output.with_name(f"{request.output.stem}_tracks.csv")
    inputs = (request.image, source, model_file(request))
    check_label_file(request.output, inputs)
    if request.divisions:
        check_output(tracks_file, inputs)
    limits = contrast_of(request)
    image = read_shown(request, report)
    along = axis_along(
        image.axes, request.along, of=request.image.name, hint=" (--axes names them)"
    )
    placed = _placed(request, image, along, source)
    say_what_is_read(request.image, image, report)
    check_label_file(request.output, inputs, image.grid)
    segmenter = load_model_of(request, report, disk_bytes=round(request.disk_cache * 10**6))
    image_id = fingerprint(image.data)
    unfinished = unfinished_of(request, image_id, segmenter)
    begin(unfinished, report)
    groups = _groups(request, image, along, placed, limits, segmenter, image_id, report)
    span = Span(None, request.start, request.stop, request.direction)
    tracks = None
    with report.interruptible():
        for number, group in enumerate(groups):
            keeper = Keeper(group.engine, unfinished, number)
            keeper.give_back()
            announce(group.engine, span, report)
            follow_objects(group.engine, span, report, keep=keeper.keep)
        if request.divisions and not report.cancelled():
            tracks = divide([group.engine for group in groups], span, report)
        complete = not report.cancelled()

    def save_tracks() -> None:
        if tracks is not None:
            write_tracks(tracks_file, tracks)
            report.say(f"tracks written to {tracks_file}")

    outcomes = [(group.position, group.engine.outcomes()) for group in groups]
    labels = _Labels(image.grid.shape, image.grid.axes, along, outcomes)
    save_all(save_tracks, lambda: save_labels(request.output, labels, image.grid))
    if complete:
        end(unfinished, report)
    ids = {object_id for group in groups for object_id in group.engine.ids}
    stopped = "; interrupted: the planes not reached are empty, asked again it goes on"
    where = f"{counted(len(ids))} written to {request.output}"
    report.say(where if complete else where + stopped)
    return complete


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
    contrast_limits: ContrastLimits = None,
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
    seeds = [Seed(object_id, plane, item) for (object_id, plane), item in known.items()]
    for _ in prompt_seeds(engine, seeds):
        pass
    follow_objects(engine, Span(None, start, stop, direction))
    outcomes = engine.outcomes()
    return np.stack([outcomes.labels(z, planes.shape) for z in range(len(planes))])


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


def _placed(
    request: PropagateRequest, image: ImageFile, along: str, source: Path
) -> list[PlacedObject]:
    """Where objects are known, checked."""
    if request.divisions and along != "T":
        raise PromptError("Divisions are looked for in time: they need --axis t.")
    _check_range(request, axis_lengths(image)[along], along)
    objects = read_prompt_file(source) if request.prompts else _seeds(request, image)
    if not objects:
        raise PromptError(f"{source.name} holds no objects.")
    placed = place_objects(
        objects,
        image,
        along=along,
        channel=request.channel,
        source=source.name,
        name=request.image.name,
    )
    if request.divisions and max(item.id for item in objects) > LARGEST_PARENT:
        raise PromptError(
            f"With --divisions ids must not be larger than {LARGEST_PARENT}: new ones "
            f"follow the largest."
        )
    return placed


def _seeds(request: PropagateRequest, image: ImageFile) -> list[ObjectPrompts]:
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
    image: ImageFile,
    along: str,
    placed: list[PlacedObject],
    limits: ContrastLimits,
    segmenter: PlaneSegmenter,
    image_id: str,
    report: Report,
) -> list[_Group]:
    """Prompt every object in the stack that it belongs to."""
    letters = outer_axes(image.axes)
    groups: dict[tuple[Any, ...], _Group] = {}
    seeds: dict[tuple[Any, ...], list[Seed]] = {}
    for item in placed:
        at = dict(zip(letters, item.position, strict=True))
        plane = at.pop(along)
        key = (*at.items(), item.channel)
        if key not in groups:
            stack = ImageStack(
                image.data,
                along=along,
                axes=image.axes,
                at=at,
                channel=item.channel,
                limits=limits,
                image_id=image_id,
            )
            groups[key] = _Group(at, StackPropagator(segmenter, stack, request.settings))
        seeds.setdefault(key, []).append(Seed(item.item.id, plane, item.item.prompts))
    for key, group in groups.items():
        for plane, outcomes in prompt_seeds(group.engine, seeds[key]):
            for outcome in outcomes:
                if outcome.mask is None:
                    report.say(f"object {outcome.id} was not found on plane {plane}")
    return [group for group in groups.values() if group.engine.ids]


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
        ids = [object_id for _, outcomes in groups for object_id, _ in outcomes]
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
                labels = outcomes.labels(plane, drawn.shape)
                drawn = np.where(drawn == 0, labels, drawn).astype(self.dtype)
        return drawn
