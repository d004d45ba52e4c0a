"""Looks for everything in the background, and keeps what was found until it is accepted."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.errors import CellpromptError, ImageError
from napari_cellprompt.layers.prompting.prompts import read_box
from napari_cellprompt.session.thread import Priority
from napari_cellprompt.widgets.found.commit import FoundMask
from napari_cellprompt.widgets.found.controller import FoundController
from napari_cellprompt.widgets.found.target import Target, target_of
from napari_cellprompt.widgets.shared.bridge import complaint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

    from napari_cellprompt.core.everything.finding import EverythingSettings
    from napari_cellprompt.core.masks.found import FilterSettings, FoundObject
    from napari_cellprompt.session.found import Arrangement
    from napari_cellprompt.widgets.segment.workplace import Workplace

__all__ = ["EverythingController"]

FEWEST_SIZES = 3
"""Accepted objects from which on their size is that of what is looked for."""


@dataclass(slots=True)
class _Run:
    """One search: where, and what it found so far."""

    target: Target
    region: tuple[int, int, int, int] | None
    settings: EverythingSettings
    found: dict[int, list[FoundObject]]
    """Of planes that are done."""
    stop: threading.Event
    size: float | None = None
    """Of objects in pixels; None until it was chosen, or found out on a plane."""
    trouble: str = ""
    """What ended it too early."""
    partial: dict[int, list[FoundObject]] = field(default_factory=dict)
    """What came so far of the plane that is looked at."""

    def all_found(self) -> dict[int, list[FoundObject]]:
        """What there is to show."""
        begun = {number: list(some) for number, some in self.partial.items()}
        return {**begun, **self.found}


class EverythingController(FoundController):
    """One search at a time, with the image and the model of the Segment widget.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to work in.
    place : Workplace
        Image, model, and where objects go.
    """

    def __init__(self, viewer: ViewerModel, place: Workplace) -> None:
        super().__init__(
            viewer,
            place,
            preview="Everything",
            status="Choose an image in Segment, then press Find everything.",
        )
        self.arrangement: Arrangement | None = None
        self._run: _Run | None = None
        self._filters: FilterSettings | None = None

    @property
    def image(self) -> Image | None:
        """The image in which objects were found; None where nothing was looked for."""
        return None if self._run is None else self._run.target.image

    def start(
        self,
        settings: EverythingSettings,
        *,
        whole_stack: bool = False,
        region: Shapes | None = None,
    ) -> None:
        """Look on the plane on screen, or on all planes of its stack."""
        if self.running or self.writing:
            return
        try:
            run = self._resolve(settings, whole_stack, region)
        except CellpromptError as error:
            self._tell(str(error))
            return
        self.discard()
        self._run, self._filters = run, settings.filters
        self.preview.open(run.target.image, run.target.view, run.target.axis)
        self.running = True
        self._next()

    @property
    def accepted_size(self) -> float | None:
        """Longer side of the objects accepted for the image; None for fewer than three."""
        image = self._place.chosen.image
        labels = None if image is None else self._place.labels_of(image)
        if labels is None:
            return None
        sizes = [record.size for record in self._place.acceptor.store(labels)]
        return float(median(sizes)) if len(sizes) >= FEWEST_SIZES else None

    def cancel(self) -> None:
        """Stop soon; what was found so far stays."""
        if self._run is not None and self.running:
            self._run.stop.set()
            self._tell("Stopping ...")

    def filter(self, settings: FilterSettings) -> None:
        """Apply other filters to what was found; the model is not asked."""
        self._filters = settings
        self._sort_out()

    def commit(self, then: Callable[[], None] | None = None) -> None:
        """Write the objects into the Labels layer of Segment, as one step of undo.

        Parameters
        ----------
        then : callable, optional
            Called once all are written.
        """
        run, arrangement = self._run, self.arrangement
        if run is None or arrangement is None or not arrangement.count:
            self._tell("There is nothing to accept.")
            return
        found = (
            FoundMask(number, plane, mask) for plane, number, mask in arrangement.masks()
        )
        self._write(run.target, found, arrangement.count, then)

    def _stop(self) -> None:
        if self._run is not None:
            self._run.stop.set()

    @property
    def holding(self) -> bool:
        """Whether something was found that can be accepted, its image there or not."""
        return self.arrangement is not None and self.arrangement.count > 0

    def _forget(self) -> None:
        self._run = self.arrangement = None

    # --- looking ----------------------------------------------------------------------

    def _resolve(
        self, settings: EverythingSettings, whole_stack: bool, region: Shapes | None
    ) -> _Run:
        target = target_of(self._viewer, self._place, whole_stack=whole_stack)
        box = None if region is None else read_box(region, target.image, target.view)
        if region is not None and box is None:
            raise ImageError(f"'{region.name}' has no shape on this plane.")
        part = None
        if region is not None and box is not None:
            _, height, width = target.shape
            x0, y0 = max(int(box[0]), 0), max(int(box[1]), 0)
            x1, y1 = min(-int(-box[2] // 1), width), min(-int(-box[3] // 1), height)
            if x0 >= x1 or y0 >= y1:
                raise ImageError(f"The shape of '{region.name}' lies outside the image.")
            part = (x0, y0, x1, y1)
        return _Run(target, part, settings, {}, threading.Event(), settings.search.size)

    def _next(self) -> None:
        """Ask for the next plane; one job a plane, so that clicks come in between."""
        run = self._run
        if run is None:
            return
        planes = run.target.planes
        left = [number for number in planes if number not in run.found]
        if not left or run.stop.is_set():
            self.running = False
            self._sort_out()
            return
        number = left[0]
        total = len(planes)

        def job(segmenter: Any, context: Any) -> list[FoundObject]:
            from napari_cellprompt.core.everything.finding import (
                find_on_plane,
                typical_side,
            )
            from napari_cellprompt.core.masks.found import filter_candidates

            found = find_on_plane(
                segmenter,
                planes[number],
                run.settings.of_size(run.size),
                region=run.region,
                progress=lambda done, tiles: self._bridge.post(
                    self._advance, (run, number * 1000 + 1000 * done // tiles, total * 1000)
                ),
                arrived=lambda some: self._bridge.post(self._came, (run, number, some)),
                cancelled=lambda: run.stop.is_set() or context.cancelled(),
            )
            if run.size is None:
                kept = filter_candidates(found, run.settings.filters).kept
                run.size = typical_side(kept)
            return found

        self._tell(f"Looking at plane {number + 1} of {total} ...")
        future = self._place.session.submit(
            job, kind="everything", priority=Priority.NEIGHBOUR
        )
        self._bridge.deliver(future, lambda done: self._arrived(run, number, done))

    def _advance(self, news: tuple[_Run, int, int]) -> None:
        run, done, total = news
        if run is self._run:
            self.progress = (done, total)
            self.changed.emit()

    def _came(self, news: tuple[_Run, int, Sequence[FoundObject]]) -> None:
        """Show some objects of a plane before it is done."""
        run, number, some = news
        if run is self._run and number not in run.found:
            run.partial.setdefault(number, []).extend(some)
            # a stack is drawn as a whole, which takes longer than a part of a plane
            if len(run.target.planes) == 1:
                self._sort_out()

    def _arrived(self, run: _Run, number: int, future: Future[Any]) -> None:
        if run is not self._run:
            return
        trouble = complaint(future)
        if trouble is not None:
            self.running = False
            run.trouble = trouble
            self._sort_out()
            return
        run.found[number] = future.result()
        self._sort_out()
        self._next()

    # --- showing ----------------------------------------------------------------------

    def _sort_out(self) -> None:
        """Filter what was found, on another thread; then draw and count."""
        run, filters = self._run, self._filters
        if run is None or filters is None:
            return
        found, shape = run.all_found(), run.target.shape

        def work() -> Arrangement:
            from napari_cellprompt.session.found import arrange

            return arrange(found, shape, filters)

        self._drawing.ask(work, lambda done: self._sorted(run, done))
        self.changed.emit()

    def _sorted(self, run: _Run, future: Future[Arrangement]) -> None:
        if run is not self._run:
            return
        trouble = complaint(future)
        if trouble is not None:
            self._tell(trouble)
            return
        arrangement = self.arrangement = future.result()
        self.preview.show(arrangement.labels)
        removed = ", ".join(
            f"{n} by {name}" for name, n in arrangement.removed.items() if n
        )
        count, total = arrangement.count, arrangement.candidates
        text = (
            f"{count} object{'s' * (count != 1)} of {total} candidate{'s' * (total != 1)}"
        )
        text = f"{text}; left out: {removed}." if removed else f"{text}."
        if self.running:
            # the status says which plane is looked at
            self.changed.emit()
        else:
            self._tell(f"{run.trouble} {text}".strip())
