"""``cellprompt segment``: an image and a file of prompts in, a label TIFF out."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.images.contrast import check_limits
from napari_cellprompt.core.images.fingerprint import fingerprint
from napari_cellprompt.core.images.planes import PlaneSource, image_limits
from napari_cellprompt.core.masks.labels import resolve_overlaps, smallest_dtype
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.outputs import check_label_file, save_labels
from napari_cellprompt.io.prompts_json import read_prompts
from napari_cellprompt.tasks import loading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.types import Prediction, Prompts
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.io.prompts_json import ObjectPrompts

__all__ = [
    "PlacedObject",
    "SegmentRequest",
    "Segmenter",
    "contrast_of",
    "counted",
    "describe",
    "model_file",
    "place_objects",
    "run_segment",
    "say",
]


class Segmenter(Protocol):
    """What is asked of ``core.predictors.plane.PlaneSegmenter``."""

    def predict_many(
        self, plane: PlaneSource, prompts: Sequence[Prompts]
    ) -> list[Prediction]:
        """Predict objects of one plane."""


@dataclass(frozen=True, slots=True)
class SegmentRequest:
    """What the command line asks for."""

    image: Path
    prompts: Path
    output: Path
    model: str = DEFAULT_MODEL
    device: str = "auto"
    axes: str | None = None
    along: str | None = None
    """``z`` or ``t``: the axis that ``plane`` counts; None takes z where there is one."""
    channel: int | None = None
    contrast: tuple[float, float] | None = None
    """Grey values that become 0 and 255; None takes percentiles of the whole image."""
    series: int | None = None
    """Which image of a file of several, see ``read_image``."""


@dataclass(frozen=True, slots=True)
class PlacedObject:
    """One object on one plane of the result."""

    position: tuple[int, ...]
    """Index along each axis of the result but Y and X."""
    channel: int | None
    item: ObjectPrompts


@dataclass(frozen=True, slots=True)
class _Stack:
    """The image, with what is the same for all its planes."""

    image: ImageFile
    image_id: str
    limits: dict[int | None, tuple[float, float] | None]
    """Contrast of each channel, from the whole stack."""

    def plane(self, task: PlacedObject) -> PlaneSource:
        axes = self.image.axes
        return PlaneSource.from_image(
            self.image.data,
            self.limits[task.channel],
            axes=axes,
            at=dict(zip(_outer(axes), task.position, strict=True)),
            channel=task.channel,
            image_id=self.image_id,
        )


def run_segment(request: SegmentRequest) -> None:
    """Segment and write; progress goes to the standard error stream.

    Everything that can be wrong with the files is found before the model is loaded.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    """
    inputs = (request.image, request.prompts, model_file(request.model))
    check_label_file(request.output, inputs)
    if request.contrast is not None:
        check_limits(request.contrast)
    objects = read_prompts(request.prompts)
    if not objects:
        raise PromptError(f"{request.prompts.name} holds no objects.")
    image = read_image(request.image, request.axes, series=request.series)
    tasks = place_objects(request, image, objects)
    describe(request.image, image)
    check_label_file(request.output, inputs, image.grid)

    started = time.perf_counter()
    segmenter = loading.load_segmenter(request.model, request.device)
    say(f"model {request.model} loaded in {time.perf_counter() - started:.1f} s")

    stack = _Stack(
        image,
        fingerprint(image.data),
        {
            channel: contrast_of(request, image, channel)
            for channel in {t.channel for t in tasks}
        },
    )
    positions = sorted({task.position for task in tasks})
    planes: dict[tuple[int, ...], NDArray[Any]] = {}
    for number, position in enumerate(positions, start=1):
        started = time.perf_counter()
        group = [task for task in tasks if task.position == position]
        planes[position] = _segment_plane(stack, group, segmenter)
        say(
            f"plane {number} of {len(positions)}: {counted(len(group))} "
            f"in {time.perf_counter() - started:.1f} s"
        )
    labels = _LabelPlanes(
        image.grid.shape, planes, smallest_dtype(max(item.id for item in objects))
    )
    save_labels(request.output, labels, image.grid)
    say(f"{counted(len({item.id for item in objects}))} written to {request.output}")


def _segment_plane(
    stack: _Stack, tasks: list[PlacedObject], segmenter: Segmenter
) -> NDArray[Any]:
    candidates = []
    # Objects of one plane may be looked for in different channels.
    for channel in sorted({task.channel for task in tasks}, key=lambda value: value or 0):
        group = [task for task in tasks if task.channel == channel]
        plane = stack.plane(group[0])
        found = segmenter.predict_many(plane, [task.item.prompts for task in group])
        for task, prediction in zip(group, found, strict=True):
            if prediction.best.mask.area == 0:
                say(f"object {task.item.id} was not found{_where(task.item)}")
            candidates.append((task.item.id, prediction.best))
    ids = [object_id for object_id, _ in candidates]
    return resolve_overlaps([candidate for _, candidate in candidates], ids)


def contrast_of(
    request: SegmentRequest, image: ImageFile, channel: int | None
) -> tuple[float, float] | None:
    """Grey values shown as black and white: as asked for, or of the whole image."""
    wanted = "auto" if request.contrast is None else request.contrast
    return image_limits(image.data, wanted, axes=image.axes, channel=channel)


def place_objects(
    request: SegmentRequest, image: ImageFile, objects: list[ObjectPrompts]
) -> list[PlacedObject]:
    """Place each object on its plane, and refuse what does not fit the image.

    Raises
    ------
    PromptError, ImageError
        With the file and the place in it.
    """
    along = _along(request, image.axes)
    lengths = dict(zip(image.axes, (int(n) for n in image.data.shape), strict=True))
    tasks = []
    for i, item in enumerate(objects):
        name = f"{request.prompts.name}: objects[{i}]"
        at = dict(item.at)
        if along is None and item.plane not in (None, 0):
            raise PromptError(f"{name}.plane is {item.plane}, but the image is one plane.")
        if along is not None:
            if item.plane is None:
                raise PromptError(
                    f"{name} needs a plane: the image has {lengths[along]} along {along}."
                )
            if along in at:
                raise PromptError(f"{name}.at.{along} repeats what 'plane' says.")
            at[along] = item.plane
        for letter, position in at.items():
            if letter not in lengths:
                raise PromptError(
                    f"{name}.at.{letter}: the image has no axis {letter}, its axes are "
                    f"{image.axes}."
                )
            if position >= lengths[letter]:
                place = "plane" if letter == along else f"at.{letter}"
                raise PromptError(
                    f"{name}.{place} is {position}, but the image has only "
                    f"{lengths[letter]} along {letter} (counted from 0)."
                )
        item.prompts.check_usable((lengths["Y"], lengths["X"]), name)
        tasks.append(
            PlacedObject(
                position=tuple(at.get(letter, 0) for letter in _outer(image.axes)),
                channel=_channel(request, lengths, at.get("C")),
                item=item,
            )
        )
    return tasks


def _along(request: SegmentRequest, axes: str) -> str | None:
    """Letter of the axis that ``plane`` counts; None for a single plane."""
    if request.along is not None:
        letter = request.along.upper()
        if letter not in axes:
            raise ImageError(
                f"{request.image.name} has no axis {letter}: its axes are {axes}."
            )
        return letter
    return next((letter for letter in "ZT" if letter in axes), None)


def _channel(
    request: SegmentRequest, lengths: dict[str, int], wanted: int | None
) -> int | None:
    if "C" not in lengths:
        if request.channel is not None:
            raise ImageError(f"{request.image.name} has no channels to choose from.")
        return None
    channel = next((c for c in (wanted, request.channel) if c is not None), 0)
    if not 0 <= channel < lengths["C"]:
        raise ImageError(
            f"{request.image.name} has the channels 0 to {lengths['C'] - 1}: got {channel}."
        )
    return channel


def model_file(model: str) -> Path | None:
    """The file of weights that a model is read from, where it is named by one."""
    path = Path(model)
    return path if path.is_file() else None


def describe(path: Path, image: ImageFile) -> None:
    """Say what was read, and what was left out."""
    say(f"{path.name}: {image.data.shape} {image.data.dtype}, {image.axes}")
    for note in image.notes:
        say(note)


def _outer(axes: str) -> str:
    return "".join(letter for letter in axes if letter in "TZ")


def _where(item: ObjectPrompts) -> str:
    return "" if item.plane is None else f" on plane {item.plane}"


def counted(number: int) -> str:
    """Return ``1 object``, ``2 objects``, ..."""
    return f"{number} object" if number == 1 else f"{number} objects"


def say(text: str) -> None:
    """Tell the user; the standard output stays free."""
    print(text, file=sys.stderr, flush=True)


class _LabelPlanes:
    """A label stack of which only the planes with prompts are held in memory."""

    def __init__(
        self,
        shape: tuple[int, ...],
        planes: dict[tuple[int, ...], NDArray[Any]],
        dtype: np.dtype[Any],
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._planes = planes

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        position = tuple(index for index in key if not isinstance(index, slice))
        plane = self._planes.get(position)
        if plane is None:
            return np.zeros(self.shape[-2:], dtype=self.dtype)
        return plane.astype(self.dtype)
