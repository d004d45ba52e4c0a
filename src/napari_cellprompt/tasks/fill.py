"""Fills objects in between the planes on which they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.fill.labels import FilledLabels
from napari_cellprompt.core.images.planes import axes_of
from napari_cellprompt.core.images.stack import ImageStack, axis_along
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.image_files import LabelGrid, read_image
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.outputs import check_label_file, save_labels
from napari_cellprompt.io.sources import open_image

from .inputs import loading
from .inputs.reading import (
    contrast_of,
    load_model_of,
    model_file,
    say_what_is_read,
    valid_channel,
)
from .report import SILENT, Report, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from napari_cellprompt.core.fill.between import Between
    from napari_cellprompt.core.fill.looking import LookedAt
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.io.image_files import ImageFile

    from .inputs.reading import ContrastLimits
    from .requests import FillRequest

__all__ = ["fill", "run"]

_USUAL = {3: "ZYX", 4: "TZYX"}
"""Axes of labels by their number; a stack of three columns is no colour picture."""


def run(request: FillRequest, report: Report = SILENT) -> bool:
    """Fill in the objects of a label file; write a label TIFF of the same shape.

    Parameters
    ----------
    request
        The files, and what is wanted of them.
    report
        Told plane by plane. Where it says to stop, nothing is written.

    Returns
    -------
    bool
        False when it was stopped.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    """
    inputs = (request.labels, request.image, model_file(request))
    check_label_file(request.output, inputs)
    limits = contrast_of(request)
    image = None
    if request.image is None:
        found = read_labels(request.labels, request.axes, series=request.series)
    else:
        found = read_labels(request.labels)
        image = read_image(request.image, request.axes, series=request.series)
        say_what_is_read(request.image, image, report)
    along = _axis(found.axes, request.along, of=request.labels.name)
    grid = LabelGrid(
        tuple(found.labels.shape), found.axes, found.scale, found.unit, found.known
    )
    check_label_file(request.output, inputs, grid)
    sight = None
    if image is not None:
        channel = _check_image(image, grid, str(request.image), request.channel)
        sight = _Sight(image, load_model_of(request, report), channel, limits)
    job = _Job(found.labels, found.axes, along, sight)
    filled = job.run(request.ids or None, request.largest_gap, report)
    if filled is None:
        return False
    save_labels(request.output, filled, grid)
    report.say(
        f"{job.planes} planes of {counted(len(job.ids))} filled in; written to "
        f"{request.output}"
    )
    return True


def fill(
    labels: Any,
    axis: str | None = None,
    *,
    axes: str | None = None,
    ids: Collection[int] | None = None,
    largest_gap: int | None = None,
    image: Any = None,
    image_axes: str | None = None,
    channel: int | None = None,
    contrast_limits: ContrastLimits = None,
    model: str | Path = DEFAULT_MODEL,
    device: str | None = None,
) -> NDArray[Any]:
    """Fill objects in between the planes on which they are drawn.

    From one outline to the next the signed distance changes evenly, while the object moves
    along; areas follow a smooth curve through all planes on which it is drawn. Only empty
    pixels are filled.

    Parameters
    ----------
    labels
        Integers, 0 = background: a NumPy, dask or zarr array, or the path of a label file.
    axis
        ``"z"`` or ``"t"``; default the one there is, z where there are both.
    axes
        Letters of the axes; default ZYX, or as the file says.
    ids
        The objects that are wanted; default all.
    largest_gap
        Planes in a row without an object up to which they are filled; default any number.
    image
        Where it is given, each filled plane goes as a mask prompt to the model, which may
        pull the outline. On the grid of the labels, apart from channels and colours.
    image_axes, channel, contrast_limits, model, device
        Of the image, as in :func:`propagate`.

    Returns
    -------
    ndarray
        A copy of the labels, of the same shape and type.

    Raises
    ------
    PromptError, ImageError, CheckpointError
        With a sentence on what was wrong.
    """
    if isinstance(labels, str | Path):
        found = read_labels(labels, axes)
        array, letters = found.labels, found.axes
    else:
        array = np.asarray(labels)
        letters = axes_of(array.shape, array.dtype, axes or _USUAL.get(array.ndim))
    along = _axis(letters, axis, of="The label image")
    sight = None
    if image is not None:
        opened = open_image(image, image_axes)
        grid = LabelGrid(array.shape, letters, (1.0,) * array.ndim, "pixel")
        channel = _check_image(opened, grid, "The image", channel)
        segmenter = loading.load_segmenter(model, device, keep=True)
        sight = _Sight(opened, segmenter, channel, contrast_limits)
    filled = _Job(array, letters, along, sight).run(ids, largest_gap, SILENT)
    return array if filled is None else filled


@dataclass(frozen=True, slots=True, eq=False)
class _Sight:
    """What filled planes are looked at with."""

    image: ImageFile
    segmenter: PlaneSegmenter
    channel: int | None
    limits: ContrastLimits

    def look(self, along: str, at: dict[str, int]) -> Callable[[Between], LookedAt]:
        """How an object looks at the image at a position of the other axes."""
        from napari_cellprompt.core.fill.looking import LookedAt

        stack = ImageStack(
            self.image.data,
            along=along,
            axes=self.image.axes,
            at=at,
            channel=self.channel,
            limits=self.limits,
        )
        return lambda filled: LookedAt(filled, self.segmenter, stack)


@dataclass(slots=True, eq=False)
class _Job:
    """Labels of any axes that are filled in along one of them."""

    labels: NDArray[Any]
    axes: str
    along: str
    sight: _Sight | None = None
    planes: int = 0
    """Planes of objects that were filled."""
    ids: set[int] = field(default_factory=set)
    """The objects of which any were."""

    def run(
        self, ids: Collection[int] | None, largest_gap: int | None, report: Report
    ) -> NDArray[Any] | None:
        """A copy of the labels with their objects filled in; None where it was stopped."""
        absent = sorted(set(ids or ()) - set(np.unique(self.labels).tolist()))
        if absent:
            raise PromptError(f"There is no object {absent[0]} in the labels.")
        filled = np.array(self.labels)
        others = [x for x in self.axes[:-2] if x != self.along]
        lengths = dict(zip(self.axes, self.labels.shape, strict=True))
        for place in product(*(range(lengths[letter]) for letter in others)):
            at = dict(zip(others, place, strict=True))
            key = tuple(at.get(letter, slice(None)) for letter in self.axes)
            stack = FilledLabels(
                self.labels[key],
                None if ids is None else set(ids) & set(np.unique(self.labels[key])),
                largest_gap=largest_gap,
                look=None if self.sight is None else self.sight.look(self.along, at),
            )
            missing = stack.missing
            self.ids |= set(missing)
            self.planes += sum(len(planes) for planes in missing.values())
            target = filled[key]
            for z in sorted({z for planes in missing.values() for z in planes}):
                if report.cancelled():
                    return None
                target[z] = stack.plane(z)
                report.progress(z + 1, len(target))
        return filled


_axis = partial(axis_along, purpose="fill along", hint=" (axes names them)")


def _check_image(
    image: ImageFile, grid: LabelGrid, name: str, channel: int | None
) -> int | None:
    """The channel to look at, of an image whose planes are those of the labels."""
    theirs = dict(zip(image.grid.axes, image.grid.shape, strict=True))
    ours = dict(zip(grid.axes, grid.shape, strict=True))
    if theirs != ours:
        raise ImageError(
            f"{name} does not lie on the grid of the labels: its axes "
            f"{image.grid.axes} are {image.grid.shape}, those of the labels {grid.axes} "
            f"{grid.shape}."
        )
    return valid_channel(name, image, channel)
