"""Proposals of divisions: an object that stays in two parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari_cellprompt.core.propagate.types import Division
    from napari_cellprompt.widgets.propagate.desk import Desk
    from napari_cellprompt.widgets.propagate.run import Run

__all__ = ["Divisions"]


class Divisions:
    """Finds proposals when a run has ended, and does what the user decides.

    Parameters
    ----------
    desk : Desk
        Holds the run that is looked through.
    show : callable
        Shows the prompts of the object that was chosen at the desk.
    follow : callable
        ``follow(run, text)`` tracks all objects of a run to where they are wanted.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        show: Callable[[], None],
        follow: Callable[[Run, str], None],
    ) -> None:
        self._desk = desk
        self._show = show
        self._follow = follow
        self.proposals: list[Division] = []
        """Those that are not decided yet."""

    def look(self) -> None:
        """Ask for proposals, in movies and where nobody said what the axis is."""
        run, segment = self._desk.run, self._desk.segment
        if run is None or segment is None or run.stack.axis.is_depth:
            return

        def found(future: Future[list[Division]]) -> None:
            proposals = self._desk.result_of(future)
            if proposals is not None and run is self._desk.run:
                self.proposals = proposals
                self._desk.changed.emit()

        asked = segment.place.session.submit(
            lambda model, context: run.engine.divisions(), kind="propagation-divisions"
        )
        self._desk.bridge.deliver(asked, found)

    def accept(self, division: Division) -> None:
        """End the parent there, and follow two daughters."""
        desk, run = self._desk, self._desk.run
        segment = desk.segment
        if run is None or segment is None or desk.stage != "review":
            desk.tell("Decide about the changes first.", warn=True)
            return
        labels = run.target
        highest = max(object_id for object_id, _ in run.engine.outcomes())
        if labels is not None:
            store, ids = segment.place.acceptor.store(labels), segment.place.acceptor.ids
            highest = max(highest, store.next_id(ids.largest(labels)) - 1)
        self.proposals = [item for item in self.proposals if item is not division]

        def split(future: Future[tuple[int, int]]) -> None:
            daughters = desk.result_of(future)
            if daughters is not None and run is desk.run:
                self._redraw((division.id, *daughters), from_plane=division.plane)
                desk.object_id = daughters[0]
                self._show()
                self._follow(run, f"Following objects {daughters[0]}, {daughters[1]} ...")

        future = run.engine.accept_division(division, (highest + 1, highest + 2))
        desk.bridge.deliver(future, split)

    def reject(self, division: Division) -> None:
        """Keep the object whole, and do not ask again."""
        run = self._desk.run
        if run is not None:
            run.engine.reject_division(division)
            self.proposals = [item for item in self.proposals if item is not division]
            self._desk.changed.emit()

    def _redraw(self, ids: tuple[int, ...], *, from_plane: int) -> None:
        """Bring the preview in line for some objects, from a plane to both ends."""
        run = self._desk.run
        if run is None:
            return
        outcomes = run.engine.outcomes()
        for plane in range(len(run.stack)):
            for object_id in ids:
                known = outcomes.get((object_id, plane))
                if known is not None or plane >= from_plane:
                    mask = None if known is None else known.mask
                    self._desk.preview.draw(plane, object_id, mask)
        self._desk.preview.refresh()
