"""Looks for everything in the background, and keeps what was found until it is accepted."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_cellprompt.core._errors import CellpromptError, ImageError
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.jobs.inference import Priority
from napari_cellprompt.jobs.objects import ObjectPlane, ObjectRecord
from napari_cellprompt.layers.commit import needs_widening
from napari_cellprompt.layers.commit_stack import PlaneMask, commit_many
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.found_preview import FoundPreview
from napari_cellprompt.layers.images import plane_source
from napari_cellprompt.layers.prompts import add_labels_layer, read_box
from napari_cellprompt.layers.stacks import LayerStack, stack_axes

from .accept import region_of
from .bridge import ResultBridge, complaint
from .contrast import Pending

if TYPE_CHECKING:
    from concurrent.futures import Future

    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.masks.found import FilterSettings, FoundObject
    from napari_cellprompt.jobs.everything import EverythingSettings
    from napari_cellprompt.jobs.found_stack import Arrangement
    from napari_cellprompt.layers.coordinates import PlaneView

    from .segment_controller import SegmentController

__all__ = ["EverythingController"]


@dataclass(slots=True)
class _Run:
    """One search: where, and what it found so far."""

    image: Image
    view: PlaneView
    stack: LayerStack | None
    planes: dict[int, PlaneSource]
    region: tuple[int, int, int, int] | None
    settings: EverythingSettings
    found: dict[int, list[FoundObject]]
    stop: threading.Event

    def view_at(self, number: int) -> PlaneView:
        """The plane of a number in the viewer."""
        return self.view if self.stack is None else self.stack.view_at(number)


class EverythingController:
    """One search at a time, with the image and the model of the Segment widget.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to work in.
    segment : SegmentController
        Image, model, and where objects go.
    """

    changed = Signal()
    """Status, progress or objects are not what they were."""

    def __init__(self, viewer: ViewerModel, segment: SegmentController) -> None:
        self._viewer = viewer
        self._segment = segment
        self._bridge = ResultBridge()
        self.preview = FoundPreview(viewer)
        self.status = "Choose an image in Segment, then press Find everything."
        self.progress = (0, 0)
        """Steps done and all steps."""
        self.running = False
        self.arrangement: Arrangement | None = None
        self._run: _Run | None = None
        self._filters: FilterSettings | None = None

    def start(
        self,
        settings: EverythingSettings,
        *,
        whole_stack: bool = False,
        region: Shapes | None = None,
    ) -> None:
        """Look on the plane on screen, or on all planes of its stack."""
        if self.running:
            return
        try:
            run = self._resolve(settings, whole_stack, region)
        except CellpromptError as error:
            self._tell(str(error))
            return
        self.discard()
        self._run, self._filters = run, settings.filters
        self.preview.open(
            run.image, run.view, None if run.stack is None else run.stack.axis.axis
        )
        self.running = True
        self._next()

    def cancel(self) -> None:
        """Stop soon; what was found so far stays."""
        if self._run is not None and self.running:
            self._run.stop.set()
            self._tell("Stopping ...")

    def discard(self) -> None:
        """Forget what was found."""
        if self._run is not None:
            self._run.stop.set()
        self._run, self.arrangement = None, None
        self.running = False
        self.preview.close()
        self.progress = (0, 0)
        self.changed.emit()

    def filter(self, settings: FilterSettings) -> None:
        """Apply other filters to what was found; the model is not asked."""
        self._filters = settings
        self._show()

    def commit(self) -> None:
        """Write the objects into the Labels layer of Segment, as one step of undo."""
        run, arrangement = self._run, self.arrangement
        if run is None or arrangement is None or not arrangement.count:
            self._tell("There is nothing to accept.")
            return
        try:
            written, name = self._write(run, arrangement)
        except CellpromptError as error:
            self._tell(str(error))
            return
        self.discard()
        self._tell(f"{written} objects in '{name}'. One undo (Ctrl+Z) takes all back.")

    def close(self, *, leave_layers: bool = False) -> None:
        """No answer arrives after this.

        Parameters
        ----------
        leave_layers : bool
            While the window is being torn down, the layers go with it: to remove one
            then would wake widgets that Qt has deleted.
        """
        if leave_layers:
            if self._run is not None:
                self._run.stop.set()
        else:
            self.discard()
        self._bridge.close()

    # --- looking ----------------------------------------------------------------------

    def _resolve(
        self, settings: EverythingSettings, whole_stack: bool, region: Shapes | None
    ) -> _Run:
        segment = self._segment
        image = segment.chosen.image
        if image is None:
            raise ImageError("Open an image and choose it in Segment first.")
        view = plane_of(self._viewer, image, channel_axis=segment.channel_axis)
        image_id, limits = segment.pixels_of(image)
        if isinstance(limits, Pending):
            raise ImageError("The grey values of the image are not known yet: try again.")
        stack = None
        axes = stack_axes(image, view) if whole_stack else []
        if axes:
            stack = LayerStack(
                image,
                view,
                axes[0],
                image_id=image_id,
                channel=segment.channel,
                limits=limits,
            )
            planes = {number: stack.plane(number) for number in range(len(stack))}
        else:
            planes = {
                0: plane_source(
                    image, view, image_id=image_id, channel=segment.channel, limits=limits
                )
            }
        box = None if region is None else read_box(region, image, view)
        if region is not None and box is None:
            raise ImageError(f"'{region.name}' has no shape on this plane.")
        part = None
        if region is not None and box is not None:
            height, width = planes[0].shape
            x0, y0 = max(int(box[0]), 0), max(int(box[1]), 0)
            x1, y1 = min(-int(-box[2] // 1), width), min(-int(-box[3] // 1), height)
            if x0 >= x1 or y0 >= y1:
                raise ImageError(f"The shape of '{region.name}' lies outside the image.")
            part = (x0, y0, x1, y1)
        return _Run(image, view, stack, planes, part, settings, {}, threading.Event())

    def _next(self) -> None:
        """Ask for the next plane; one job a plane, so that clicks come in between."""
        run = self._run
        if run is None:
            return
        left = [number for number in run.planes if number not in run.found]
        if not left or run.stop.is_set():
            self.running = False
            self._show()
            return
        number = left[0]
        total = len(run.planes)

        def job(segmenter: Any, context: Any) -> list[FoundObject]:
            from napari_cellprompt.jobs.everything import find_on_plane

            return find_on_plane(
                segmenter,
                run.planes[number],
                run.settings,
                region=run.region,
                progress=lambda done, tiles: self._bridge.post(
                    self._advance, (run, number * 1000 + 1000 * done // tiles, total * 1000)
                ),
                cancelled=lambda: run.stop.is_set() or context.cancelled(),
            )

        self._tell(f"Looking at plane {number + 1} of {total} ...")
        future = self._segment.session.submit(
            job, kind="everything", priority=Priority.NEIGHBOUR
        )
        self._bridge.deliver(future, lambda done: self._arrived(run, number, done))

    def _advance(self, news: tuple[_Run, int, int]) -> None:
        run, done, total = news
        if run is self._run:
            self.progress = (done, total)
            self.changed.emit()

    def _arrived(self, run: _Run, number: int, future: Future[Any]) -> None:
        if run is not self._run:
            return
        trouble = complaint(future)
        if trouble is not None:
            self.running = False
            self._show()
            if trouble:
                self._tell(trouble)
            return
        run.found[number] = future.result()
        self._show()
        self._next()

    def _show(self) -> None:
        """Filter, draw and count."""
        run = self._run
        if run is None or self._filters is None:
            return
        from napari_cellprompt.jobs.found_stack import arrange

        arrangement = arrange(run.found, run.planes[0].shape, self._filters)
        self.arrangement = arrangement
        self.preview.draw(arrangement.labels)
        removed = ", ".join(
            f"{n} by {name}" for name, n in arrangement.removed.items() if n
        )
        text = f"{arrangement.count} objects of {arrangement.candidates} candidates"
        self._tell(f"{text}; left out: {removed}." if removed else f"{text}.")

    def _tell(self, text: str) -> None:
        self.status = text
        self.changed.emit()

    # --- writing ----------------------------------------------------------------------

    def _write(self, run: _Run, arrangement: Arrangement) -> tuple[int, str]:
        """Number of objects written, and the name of their layer."""
        segment = self._segment
        acceptor, labels = segment.acceptor, segment.chosen.labels
        if labels is None or segment.overlap == "new layer":
            labels = add_labels_layer(
                self._viewer, run.image, channel_axis=run.view.channel_axis
            )
            acceptor.ids.know(labels, 0)
        acceptor.sync(labels)
        before = labels
        first = acceptor.store(labels).next_id(acceptor.ids.largest(labels))
        if needs_widening(labels, first + arrangement.count - 1):
            labels, _ = acceptor.widen(labels)
        masks = arrangement.masks()
        entries = [
            PlaneMask(first + object_id - 1, run.view_at(number), mask)
            for number, object_id, mask in masks
        ]
        policy: Any = "replace" if segment.overlap == "replace" else "keep"
        planes: dict[int, list[ObjectPlane]] = {}
        places: dict[int, Any] = {}
        results = commit_many(labels, entries, policy, image=run.image)
        for entry, (number, _, mask), result in zip(entries, masks, results, strict=True):
            box = mask.box or (0, 0, 0, 0)
            if not result.written:
                continue
            key = run.planes[number].key
            planes.setdefault(entry.object_id, []).append(
                ObjectPlane(key, Prompts(), 0.0, result.written, box)
            )
            places.setdefault(
                entry.object_id, region_of(labels, run.image, entry.view, box)
            )
        for object_id, written in planes.items():
            record = ObjectRecord(object_id, tuple(written))
            acceptor.remember(labels, record, places[object_id])
            acceptor.ids.know(labels, object_id)
        segment.target_written(before, labels)
        return len(planes), labels.name
