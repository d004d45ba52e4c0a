"""Learns examples and applies them in the background; keeps results until accepted."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_cellprompt.core.errors import CellpromptError, ImageError
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.labels.commit_stack import plane_labels
from napari_cellprompt.session.thread import Priority
from napari_cellprompt.tasks.requests import DEFAULT_THRESHOLD
from napari_cellprompt.tasks.series import Series
from napari_cellprompt.widgets.found.commit import FoundMask
from napari_cellprompt.widgets.found.controller import FoundController
from napari_cellprompt.widgets.found.target import Target, target_of
from napari_cellprompt.widgets.segment.contrast import Pending
from napari_cellprompt.widgets.shared.bridge import complaint

from .folder import FolderRun

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_cellprompt.core.fewshot.examples import ExampleBank
    from napari_cellprompt.tasks.examples.applying import ScoredObject
    from napari_cellprompt.tasks.examples.files import LabelledFile
    from napari_cellprompt.tasks.inputs.reading import ContrastLimits
    from napari_cellprompt.widgets.segment.workplace import Workplace

__all__ = ["FewshotController"]


@dataclass(slots=True)
class _Run:
    """One application of the examples, and what it found so far."""

    target: Target
    bank: ExampleBank
    scored: dict[int, list[ScoredObject]]
    stop: threading.Event


class FewshotController(FoundController):
    """One bank of examples, with the image and the model of the Segment widget.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to work in.
    place : Workplace
        Image, model, and where objects go.
    """

    source = "few-shot"

    taught = Signal()
    """The examples are not what they were."""

    def __init__(self, viewer: ViewerModel, place: Workplace) -> None:
        super().__init__(
            viewer,
            place,
            preview="Like the examples",
            status="Segment a few cells, then add them as examples.",
        )
        self.bank: ExampleBank | None = None
        self.threshold = DEFAULT_THRESHOLD
        self._run: _Run | None = None
        self._files: FolderRun | None = None
        self._teaching: threading.Event | None = None
        """Stops the look at examples that is going on."""
        self._rejected: set[tuple[int, int]] = set()
        """Plane and row of objects that the user took out."""

    # --- examples ---------------------------------------------------------------------

    def teach(self, labels: Labels | None, kind: str, *, all_of_them: bool) -> None:
        """Add the selected label, or all labels, of the plane on screen."""
        if self.running:
            return
        try:
            target = target_of(self._viewer, self._place, whole_stack=False)
            if labels is None:
                raise ImageError("Choose the Labels layer that holds the examples first.")
            pixels, (top, left) = plane_labels(labels, target.view, image=target.image)
        except CellpromptError as error:
            self._tell(str(error))
            return
        ids = None if all_of_them else {int(labels.selected_label)}
        plane, bank, source = target.planes[0], self.bank, target.image.name
        height, width = plane.shape
        pixels = np.array(pixels[max(top, 0) : top + height, max(left, 0) : left + width])
        stop = threading.Event()

        def job(segmenter: Any, context: Any) -> tuple[ExampleBank, int]:
            from napari_cellprompt.tasks.examples.teaching import empty_bank, teach

            known = bank
            if known is None or known.model != segmenter.model.fingerprint:
                # features of another model cannot be compared
                known = empty_bank(segmenter)
            count = teach(
                segmenter,
                plane,
                pixels,
                known,
                kind=kind,
                ids=ids,
                source=source,
                progress=lambda done, parts: self._bridge.post(
                    self._advance, (stop, done, parts)
                ),
                cancelled=lambda: stop.is_set() or context.cancelled(),
            )
            return known, count

        def learnt(result: tuple[ExampleBank, int]) -> None:
            self.bank, count = result
            total = len(self.bank.examples)
            self._tell(f"{count} added: {total} examples. Find more of them now.")
            self.taught.emit()

        self.discard()
        self._teaching = stop
        self.progress = (0, 1)
        self._start(job, learnt, "Looking at the examples, and at what is around them ...")

    def _advance(self, news: tuple[threading.Event, int, int]) -> None:
        """Show how much of the plane was looked at."""
        stop, done, parts = news
        if stop is self._teaching and self.running:
            self.progress = (done, parts)
            self.changed.emit()

    def remove(self, numbers: list[int]) -> None:
        """Forget examples, the highest number first."""
        if self.bank is None or self.running:
            return
        for number in numbers:
            self.bank.remove(number)
        self.taught.emit()

    def save(self, path: Path) -> None:
        """Write the examples to a file."""
        bank = self.bank
        if bank is None or not bank.examples:
            self._tell("There are no examples to save.")
            return
        self._start(
            lambda *_: bank.save(path),
            lambda written: self._tell(f"Examples saved: {written.name}"),
            "Saving the examples ...",
        )

    def load(self, path: Path) -> None:
        """Take the examples of a file in place of these."""

        def job(segmenter: Any, _: Any) -> ExampleBank:
            from napari_cellprompt.core.fewshot.examples import ExampleBank

            return ExampleBank.load(path, segmenter.model.fingerprint)

        def loaded(bank: ExampleBank) -> None:
            self.bank = bank
            self._tell(f"{len(bank.examples)} examples from {path.name}.")
            self.taught.emit()

        self.discard()
        self._start(job, loaded, "Reading the examples ...")

    # --- applying ---------------------------------------------------------------------

    def find(self, *, whole_stack: bool) -> None:
        """Look for objects like the examples on the plane on screen, or on all planes."""
        if self.running:
            return
        try:
            bank = self.bank
            if bank is None or not bank.examples:
                raise ImageError("Add at least one example first.")
            target = target_of(self._viewer, self._place, whole_stack=whole_stack)
        except CellpromptError as error:
            self._tell(str(error))
            return
        self.discard()
        self._run = _Run(target, bank, {}, threading.Event())
        layer = self.preview.open(target.image, target.view, target.axis)
        layer.mouse_drag_callbacks.append(self._pressed)
        self._next(self._run)

    def find_in_folder(self, folder: Path) -> None:
        """Label the images of a folder that have no labels yet; labels go beside them.

        One image is one job, so that clicks on the image in the viewer come in between.
        """
        if self.running:
            return
        try:
            bank = self.bank
            if bank is None or not bank.examples:
                raise ImageError("Add at least one example first.")
            series = Series.of(folder, folder)
            if self._place.composition:
                raise ImageError(
                    "Images of a folder are shown to the model one channel at a time: "
                    "switch the channels off in Segment first."
                )
            limits = self._limits()
        except CellpromptError as error:
            self._tell(str(error))
            return
        if not series.left:
            self._tell(f"All {len(series.images)} images there have their labels.")
            return
        self.discard()
        self._files = FolderRun(
            series, series.left, bank, self.threshold, self._place.channel, limits
        )
        self._next_file(self._files)

    def review(self) -> None:
        """Let clicks on objects take them out, or back in."""
        layer = self.preview.layer
        if layer is None:
            self._tell("There is nothing to look through yet.")
            return
        layer.mode = "pan_zoom"
        self._viewer.layers.selection.active = layer
        self._tell("Click an object to take it out, and again to take it back in.")

    def cancel(self) -> None:
        """Stop soon; what was found so far stays."""
        if self.running and self._stop():
            self._tell("Stopping ...")

    def _stop(self) -> bool:
        events = [run.stop for run in (self._run, self._files) if run is not None]
        if self._teaching is not None:
            events.append(self._teaching)
        for event in events:
            event.set()
        return bool(events)

    def _forget(self) -> None:
        """Let go of what was found; the examples stay."""
        self._run = self._files = self._teaching = None
        self._rejected.clear()

    def choose(self, threshold: float) -> None:
        """Take objects from another score on; the model is not asked."""
        self.threshold = threshold
        self._show()

    def toggle(self, position: Any) -> bool:
        """Take the object at a place of the preview out, or back in.

        Parameters
        ----------
        position
            Coordinates in the viewer.

        Returns
        -------
        bool
            Whether there is an object that was found.
        """
        run, layer = self._run, self.preview.layer
        if run is None or layer is None:
            return False
        number = self._shown(run.target)
        data = layer.world_to_data(position)
        view = run.target.view
        row, column = (round(data[axis]) for axis in view.axes)
        # the smallest one, where an object lies in another
        hits = [
            (item.found.area, index)
            for index, item in enumerate(run.scored.get(number, []))
            if self._passes(item) and _covers(item, row, column)
        ]
        if not hits:
            return False
        key = (number, min(hits)[1])
        self._rejected ^= {key}
        self._show()
        return True

    def _pressed(self, layer: Labels, event: Any) -> Any:
        moved = False
        yield
        while event.type == "mouse_move":
            moved = True
            yield
        if not moved:
            self.toggle(event.position)

    @property
    def holding(self) -> bool:
        """Whether something was found that can be accepted, its image there or not."""
        return any(self.chosen.values())

    @property
    def chosen(self) -> dict[int, list[ScoredObject]]:
        """What would be accepted, by the number of its plane."""
        if self._run is None:
            return {}
        return {
            number: [
                item
                for index, item in enumerate(scored)
                if self._passes(item) and (number, index) not in self._rejected
            ]
            for number, scored in self._run.scored.items()
        }

    def commit(self) -> None:
        """Write the objects into the Labels layer of Segment, as one step of undo."""
        run, chosen = self._run, self.chosen
        if run is None or not any(chosen.values()):
            self._tell("There is nothing to accept.")
            return
        items = [(plane, item) for plane, row in chosen.items() for item in row]
        found = (
            FoundMask(number, plane, item.found.mask, item.found.score)
            for number, (plane, item) in enumerate(items, 1)
        )
        self._write(run.target, found, len(items))

    # --- in the background ------------------------------------------------------------

    def _start(
        self,
        job: Callable[[Any, Any], Any],
        done: Callable[[Any], None],
        text: str,
        kind: str = "fewshot",
    ) -> None:
        self.running = True
        self._tell(text)

        def arrived(future: Future[Any]) -> None:
            self.running = False
            trouble = complaint(future)
            taught, self._teaching = self._teaching, None
            if trouble == "" and taught is not None:
                self._tell("Stopped: no example was added.")
            elif trouble is None:
                done(future.result())
            elif trouble:
                self._tell(trouble)
            else:
                self._stopped()
            self.changed.emit()

        future = self._place.session.submit(job, kind=kind, priority=Priority.NEIGHBOUR)
        self._bridge.deliver(future, arrived)

    def _stopped(self) -> None:
        """Say what is there after the user stopped a search."""
        if self._files is not None:
            self._next_file(self._files)
        elif self._run is not None:
            self._show()
            self._tell(f"Stopped: {self.status}")

    def _next(self, run: _Run) -> None:
        """Ask for the next plane; one job a plane, so that clicks come in between."""
        left = [n for n in run.target.planes if n not in run.scored]
        total = len(run.target.planes)
        self.progress = (total - len(left), total)
        if run is not self._run or not left or run.stop.is_set():
            self._show()
            return
        # the plane on screen first: that is where the user looks
        shown = self._shown(run.target)
        number = shown if shown in left else left[0]

        def job(segmenter: Any, context: Any) -> list[ScoredObject]:
            from napari_cellprompt.tasks.examples.applying import apply_to_plane

            return apply_to_plane(
                segmenter,
                run.target.planes[number],
                run.bank,
                cancelled=lambda: run.stop.is_set() or context.cancelled(),
            )

        def found(scored: list[ScoredObject]) -> None:
            if run is self._run:
                run.scored[number] = scored
                self._show()
                self._next(run)

        self._start(job, found, f"Looking at plane {number + 1} of {total} ...")

    def _next_file(self, run: FolderRun) -> None:
        """Ask for the next image of the folder, or say how it went."""
        done, total = len(run.done), len(run.images)
        self.progress = (done, total)
        if run is not self._files or done == total or run.stop.is_set():
            self._files = None
            self._tell(run.summary())
            return
        path = run.images[done]

        def labelled(result: list[LabelledFile]) -> None:
            run.done += result
            self._next_file(run)

        self._start(run.job, labelled, f"{path.name}, image {done + 1} of {total} ...")

    def _limits(self) -> ContrastLimits:
        """How files are to be shown to the model: as the image on screen is."""
        place = self._place
        image = place.chosen.image
        if image is None or (place.contrast is not None and place.contrast.by_percentiles):
            return "auto"
        pixels = place.pixels_of(image)
        return "auto" if isinstance(pixels, Pending) else pixels.limits

    def _shown(self, target: Target) -> int:
        """Number of the plane on screen."""
        axis = target.view.channel_axis
        return target.number_of(plane_of(self._viewer, target.image, channel_axis=axis))

    # --- showing --------------------------------------------------------------------

    def _passes(self, item: ScoredObject) -> bool:
        return item.kind == "wanted" and item.score >= self.threshold

    def _show(self) -> None:
        """Choose and count; draw, on another thread."""
        run = self._run
        if run is None:
            return
        chosen, shape = self.chosen, run.target.shape

        def work() -> NDArray[Any]:
            from napari_cellprompt.tasks.examples.applying import label_planes

            return label_planes(chosen, shape)

        def drawn(future: Future[NDArray[Any]]) -> None:
            if run is self._run:
                trouble = complaint(future)
                if trouble is None:
                    self.preview.show(future.result())
                self._tell(trouble or self.status)

        self._drawing.ask(work, drawn)
        count = sum(len(items) for items in chosen.values())
        found = sum(len(items) for items in run.scored.values())
        taken = f", {len(self._rejected)} taken out by hand" if self._rejected else ""
        self._tell(f"{count} of {found} objects are like the examples{taken}.")


def _covers(item: ScoredObject, row: int, column: int) -> bool:
    mask = item.found.mask
    y, x = row - mask.origin[0], column - mask.origin[1]
    height, width = mask.data.shape
    return 0 <= y < height and 0 <= x < width and bool(mask.data[y, x])
