"""Refines all objects of a Labels layer into a new one, while the window stays in use."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_cellprompt.core.errors import CellpromptError, PromptError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.segment.refining import refine_plane
from napari_cellprompt.layers.coordinates import array_shape, plane_of
from napari_cellprompt.layers.grids import layer_kwargs, match_grid
from napari_cellprompt.layers.images import full_resolution, plane_arguments
from napari_cellprompt.layers.prompting.tracing import labels_of_plane
from napari_cellprompt.session.thread import Priority
from napari_cellprompt.widgets.segment.contrast import Pending
from napari_cellprompt.widgets.shared.bridge import complaint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_cellprompt.layers.coordinates import PlaneView
    from napari_cellprompt.widgets.segment.controller import SegmentController

__all__ = ["RefineAll"]


@dataclass(slots=True, eq=False)
class _Job:
    """One Labels layer on its way."""

    labels: Labels
    image: Image
    views: list[PlaneView]
    pixels: tuple[Any, dict[str, Any]]
    """The image's array, and what ``PlaneSource`` needs."""
    result: NDArray[Any]
    steps: Iterator[str] | None = None
    kept: int = 0
    cancelled: bool = False
    ids: set[int] = field(default_factory=set)

    def run(self, segmenter: Any) -> Iterator[str]:
        """A few objects at a time, and how far that is; on the inference thread."""
        data, arguments = self.pixels
        for number, view in enumerate(self.views):
            plane = labels_of_plane(self.labels, self.image, view)
            if not (plane > 0).any():
                continue
            source = PlaneSource(data, index=view.index, **arguments)
            part = f"plane {number + 1} of {len(self.views)}, " if self.views[1:] else ""
            for step in refine_plane(
                segmenter, source, plane, cancelled=lambda: self.cancelled
            ):
                if step.labels is not None:
                    self._put(view, step.labels)
                    self.kept += len(step.kept)
                yield f"{part}object {step.done} of {step.total}"

    def _put(self, view: PlaneView, plane: NDArray[Any]) -> None:
        """Write a plane into the new labels, where the source's pixels are."""
        match = match_grid(self.image, self.labels, view)
        if isinstance(match, str):
            raise PromptError(match)
        rows, columns = np.nonzero(plane)
        index: dict[int, Any] = dict(match.index)
        index[match.axes[0]] = rows + match.offset[0]
        index[match.axes[1]] = columns + match.offset[1]
        shape = self.result.shape
        good = (index[match.axes[0]] >= 0) & (index[match.axes[0]] < shape[match.axes[0]])
        good &= (index[match.axes[1]] >= 0) & (index[match.axes[1]] < shape[match.axes[1]])
        for axis in match.axes:
            index[axis] = index[axis][good]
        key = tuple(index[axis] for axis in range(self.result.ndim))
        self.result[key] = plane[rows[good], columns[good]]
        self.ids |= set(np.unique(plane[plane > 0]).tolist())


class RefineAll:
    """One run at a time; the layer with the objects is only read.

    Parameters
    ----------
    segment : SegmentController
        Knows image, contrast and model, and tells how things stand.
    changed : callable
        Called when a run has begun or ended, or has come further.
    """

    def __init__(self, segment: SegmentController, changed: Callable[[], None]) -> None:
        self._segment = segment
        self._changed = changed
        self._job: _Job | None = None
        self.progress = ""
        """How far the run is."""

    @property
    def running(self) -> bool:
        """Whether objects are being refined."""
        return self._job is not None

    def start(self, labels: Labels) -> None:
        """Begin with a Labels layer.

        Raises
        ------
        CellpromptError
            It cannot be done; the message says why.
        """
        place = self._segment.place
        image = place.chosen.image
        if image is None:
            raise CellpromptError("Open the image of these objects first.")
        pixels = place.pixels_of(image)
        if isinstance(pixels, Pending):
            raise CellpromptError("The contrast is still being computed: try again soon.")
        view = plane_of(place.viewer, image, channel_axis=place.channel_axis)
        match = match_grid(image, labels, view)
        if isinstance(match, str):
            raise PromptError(match)
        lengths = [array_shape(image)[axis] for axis in view.other_axes(image.ndim)]
        data = full_resolution(labels)
        job = _Job(
            labels,
            image,
            [
                replace(view, index=index)
                for index in itertools.product(*(range(length) for length in lengths))
            ],
            plane_arguments(image, view, **pixels.arguments),
            np.zeros(data.shape, data.dtype),
        )
        self._job, self.progress = job, "starting"
        self._ask(job)
        self._changed()

    def stop(self) -> None:
        """End without a result, within a few objects."""
        job, self._job, self.progress = self._job, None, ""
        if job is not None:
            job.cancelled = True
            self._segment.tell("Refining was stopped: nothing was changed.")
            self._changed()

    def _ask(self, job: _Job) -> None:
        """A few objects more; clicks that wait go first."""

        def step(segmenter: Any, context: Any) -> str | None:
            if job.steps is None:
                job.steps = job.run(segmenter)
            return None if job.cancelled else next(job.steps, None)

        future = self._segment.place.session.submit(
            step, kind="refine", priority=Priority.PRECOMPUTE
        )
        self._segment.bridge.deliver(future, lambda done: self._arrived(done, job))

    def _arrived(self, future: Future[str | None], job: _Job) -> None:
        if job is not self._job:
            return
        message = complaint(future)
        if message is not None:
            self._job, self.progress = None, ""
            self._segment.tell(message or "Refining was stopped.", warn=bool(message))
        elif (progress := future.result()) is not None:
            self.progress = progress
            self._ask(job)
        else:
            self._job, self.progress = None, ""
            self._show(job)
        self._changed()

    def _show(self, job: _Job) -> None:
        """Add the new layer where the old one is."""
        segment, old = self._segment, job.labels
        if not job.ids:
            segment.tell(f"'{old.name}' holds no object to refine.", warn=True)
            return
        layer = Labels(
            job.result,
            name=f"{old.name} refined",
            metadata=dict(old.metadata),
            **layer_kwargs(old),
        )
        viewer = segment.place.viewer
        active = viewer.layers.selection.active
        # put where it belongs at once: each change of the list is drawn
        shown = viewer.layers
        shown.insert(shown.index(old) + 1 if old in shown else len(shown), layer)
        if active is not None and active in viewer.layers:
            viewer.layers.selection.active = active
        count, kept = len(job.ids), job.kept
        text = f"{count} object{'s' * (count != 1)} refined into '{layer.name}'"
        if kept:
            text += f"; {kept} left as given, since the model finds nothing there"
        segment.tell(f"{text}. '{old.name}' is as it was.")
