"""Segments the objects that prompts mean: one call for a notebook, or for files."""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.images.fingerprint import fingerprint
from napari_cellprompt.core.images.planes import PlaneSource, image_limits
from napari_cellprompt.core.inference.sam.decoding import gather_prompts
from napari_cellprompt.core.masks.labels import resolve_overlaps, smallest_dtype
from napari_cellprompt.core.results import Results
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.outputs import check_label_file, save_labels
from napari_cellprompt.io.prompts_json import ObjectPrompts, read_prompt_file
from napari_cellprompt.io.sources import open_image
from napari_cellprompt.tasks.inputs.composing import read_shown
from napari_cellprompt.tasks.inputs.placing import PlacedObject, outer_axes, place_objects
from napari_cellprompt.tasks.inputs.prompts import prompts_of_batch
from napari_cellprompt.tasks.inputs.reading import (
    contrast_of,
    load_model_of,
    model_file,
    say_what_is_read,
)

from .inputs import loading
from .refine import run_refine
from .report import SILENT, Report, counted
from .resuming import begin, end, name_of, unfinished_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.sampling import ArrayData
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.core.types import Prediction
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.tasks.inputs.reading import ContrastLimits

    from .requests import SegmentRequest

__all__ = ["PredictedPlane", "predict_planes", "run", "segment"]


@dataclass(frozen=True, slots=True, eq=False)
class PredictedPlane:
    """The objects of one plane."""

    position: tuple[int, ...]
    """Index along each axis of the result but Y and X."""
    objects: tuple[tuple[PlacedObject, Prediction], ...]
    """By channel, and as they were given."""

    def labels(self) -> NDArray[Any]:
        """Labels ``(H, W)``; a pixel of two objects goes to the higher logit."""
        ids = [placed.item.id for placed, _ in self.objects]
        return resolve_overlaps([answer.best for _, answer in self.objects], ids)


def run(request: SegmentRequest, report: Report = SILENT) -> None:
    """Segment the objects of a file of prompts; write a label TIFF.

    Everything that can be wrong with the files is found before the model is loaded.

    Parameters
    ----------
    request
        The files, and how to look at them.
    report
        Told plane by plane. Where it says to stop no labels are written; asked again, it
        goes on after the planes that were finished.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    concurrent.futures.CancelledError
        Where ``report`` says so.
    """
    if (request.prompts is None) == (request.refine is None):
        raise PromptError("Give either prompts or labels to refine.")
    if request.prompts is None:
        run_refine(request, report)
        return
    inputs = (request.image, request.prompts, model_file(request))
    check_label_file(request.output, inputs)
    limits = contrast_of(request)
    objects = read_prompt_file(request.prompts)
    if not objects:
        raise PromptError(f"{request.prompts.name} holds no objects.")
    image = read_shown(request, report)
    placed = place_objects(
        objects,
        image,
        along=_counted_axis(request, image.axes),
        channel=request.channel,
        source=request.prompts.name,
        name=request.image.name,
    )
    say_what_is_read(request.image, image, report)
    check_label_file(request.output, inputs, image.grid)
    segmenter = load_model_of(request, report)
    unfinished = unfinished_of(request, fingerprint(image.data), segmenter)
    begin(unfinished, report)
    planes: dict[tuple[int, ...], NDArray[Any]] = {}
    for position in {item.position for item in placed}:
        part = unfinished.get(name_of(position))
        if part is not None:
            planes[position] = part["labels"]
    left = [item for item in placed if item.position not in planes]
    for predicted in predict_planes(segmenter, image, left, limits, report):
        planes[predicted.position] = predicted.labels()
        if predicted.position:
            part = {"labels": planes[predicted.position]}
            unfinished.put(name_of(predicted.position), part)
        for one, answer in predicted.objects:
            item = one.item
            if answer.best.mask.area:
                continue
            where = "" if item.plane is None else f" on plane {item.plane}"
            report.say(f"object {item.id} was not found{where}")
    ids = {item.id for item in objects}
    labels = _LabelPlanes(image.grid.shape, planes, smallest_dtype(max(ids)))
    save_labels(request.output, labels, image.grid)
    end(unfinished, report)
    report.say(f"{counted(len(ids))} written to {request.output}")


def predict_planes(
    segmenter: PlaneSegmenter,
    image: ImageFile,
    placed: Sequence[PlacedObject],
    limits: ContrastLimits,
    report: Report = SILENT,
) -> Iterator[PredictedPlane]:
    """Predict objects where they are, one plane after the other.

    Parameters
    ----------
    segmenter
        The model.
    image
        Planes of all channels; contrast is that of the whole image.
    placed
        The objects.
    limits
        Contrast of each channel.
    report
        Told after each plane.

    Yields
    ------
    PredictedPlane
        In the order of the planes in the image.

    Raises
    ------
    concurrent.futures.CancelledError
        Where ``report`` says so.
    """
    letters, image_id = outer_axes(image.axes), fingerprint(image.data)
    contrast = {
        channel: image_limits(image.data, limits, axes=image.axes, channel=channel)
        for channel in {item.channel for item in placed}
    }
    positions = sorted({item.position for item in placed})
    for number, position in enumerate(positions, start=1):
        if report.cancelled():
            raise CancelledError
        started = time.perf_counter()
        there = [item for item in placed if item.position == position]
        objects: list[tuple[PlacedObject, Prediction]] = []
        # Objects of one plane may be looked for in different channels.
        for channel in sorted({item.channel for item in there}, key=lambda c: c or 0):
            group = [item for item in there if item.channel == channel]
            plane = PlaneSource.from_image(
                image.data,
                contrast[channel],
                axes=image.axes,
                at=dict(zip(letters, position, strict=True)),
                channel=channel,
                image_id=image_id,
            )
            answers = segmenter.predict_many(plane, [item.item.prompts for item in group])
            objects += zip(group, answers, strict=True)
        yield PredictedPlane(position, tuple(objects))
        report.say(
            f"plane {number} of {len(positions)}: {counted(len(there))} "
            f"in {time.perf_counter() - started:.1f} s"
        )
        report.progress(number, len(positions))


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
    contrast_limits: ContrastLimits = None,
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
    height, width = (int(array.shape[axes.index(letter)]) for letter in "YX")
    batch = gather_prompts(
        bboxes=bboxes,
        points=points,
        labels=labels,
        masks=masks,
        shape=(height, width),
        low_res=-1,
    )
    started = time.perf_counter()
    segmenter = loading.load_segmenter(model, device, keep=True)
    loaded = time.perf_counter()
    placed = [
        PlacedObject((), None, ObjectPrompts(number, None, {}, prompts))
        for number, prompts in enumerate(prompts_of_batch(batch), start=1)
    ]
    opened = replace(file, data=array, axes=axes, scale=file.scale[-len(axes) :])
    planes = predict_planes(segmenter, opened, placed, contrast_limits)
    return Results(
        orig_img=array,
        objects=[answer.best for plane in planes for _, answer in plane.objects],
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


def _counted_axis(request: SegmentRequest, axes: str) -> str | None:
    """Letter of the axis that ``plane`` counts; None for a single plane."""
    if request.along is not None:
        letter = request.along.upper()
        if letter not in axes:
            raise ImageError(
                f"{request.image.name} has no axis {letter}: its axes are {axes}."
            )
        return letter
    return next((letter for letter in "ZT" if letter in axes), None)


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
