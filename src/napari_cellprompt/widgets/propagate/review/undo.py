"""What a review's history is made of: the engine's state and what the user had said."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from napari_cellprompt.session.history import Moved, Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari_cellprompt.core.types import MaskRLE, Prompts
    from napari_cellprompt.widgets.propagate.desk import Desk

__all__ = ["Moment", "ReviewSteps", "Said"]

Place = tuple[int, int]
"""Id of an object, and plane."""
_STEP_BYTES = 4096
"""A step holds tables; the masks in them are shared with the engine and other steps."""


@dataclass(slots=True)
class Said:
    """What the user said about planes, and what follows from it."""

    prompts: dict[Place, Prompts] = field(default_factory=dict)
    """What each plane was made from."""
    shown: dict[Place, Prompts] = field(default_factory=dict)
    """Clicks and boxes as they are in the layers."""
    masks: dict[Place, MaskRLE] = field(default_factory=dict)
    """Masks that clicks correct."""
    corrected: set[int] = field(default_factory=set)
    """Objects of which other planes have to be tracked again."""

    def copy(self) -> Said:
        """A copy that does not change with this."""
        return Said(*(getattr(self, item.name).copy() for item in fields(self)))

    def put(self, other: Said) -> None:
        """Become what another one is."""
        for item in fields(self):
            getattr(self, item.name).clear()
            getattr(self, item.name).update(getattr(other, item.name))

    def clear(self) -> None:
        """Forget all."""
        self.put(Said())


@dataclass(slots=True, eq=False)
class Moment:
    """Where a review can go back to."""

    said: Said
    engine: Any = None
    """The engine's state, as soon as it has told."""
    undecided: int = 0
    """How many steps up to here have consequences that are not decided about."""


class ReviewSteps:
    """Notes what is done in a review, and takes it back.

    Parameters
    ----------
    desk : Desk
        Holds the run.
    said : Said
        What the user said, changed in place.
    leave : callable
        Called before going to another moment: what runs or is asked is given up.
    arrived : callable
        Called after it, to show everything anew.
    """

    def __init__(
        self,
        desk: Desk,
        said: Said,
        *,
        leave: Callable[[], None],
        arrived: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._said = said
        self._leave = leave
        self._arrived = arrived
        self._undecided = 0

    def moment(self, engine: Any = None) -> Moment:
        """What is known now; for an action that is about to be queued.

        Parameters
        ----------
        engine
            State of the engine, where it is known; else it is asked, ahead of whatever
            is queued after this.
        """
        moment, run = Moment(self._said.copy(), engine, self._undecided), self._desk.run
        if run is not None and engine is None:

            def told(future: Future[Any]) -> None:
                moment.engine = self._desk.result_of(future)

            self._desk.bridge.deliver(run.engine.swap(None), told)
        return moment

    def note(self, text: str, before: Moment, *, undecided: bool = False) -> None:
        """Make an action that has just been done the last step.

        Parameters
        ----------
        text : str
            What it was.
        before : Moment
            From ``moment``, taken before it.
        undecided : bool
            Whether ``take_back`` is to take it back with others like it.
        """
        segment, run = self._desk.segment, self._desk.run
        if segment is None or run is None or before.engine is None:
            return
        ends: list[Moment | None] = [before, None]

        def move(place: int) -> Moved:
            moment = ends[place]
            if moment is None or run is not self._desk.run:
                return Moved.LOST
            ends[1 - place] = self._travel(moment)
            return Moved.DONE

        self._undecided = self._undecided + 1 if undecided else 0
        segment.place.steps.done(
            Step(
                text,
                undo=lambda: move(0),
                redo=lambda: move(1),
                nbytes=_STEP_BYTES,
                owner=run,
            )
        )

    def decided(self) -> None:
        """What was done up to here stays, unless it is undone step by step."""
        self._undecided = 0

    def take_back(self) -> None:
        """Undo all steps since the last decision; redo brings them again."""
        segment = self._desk.segment
        for _ in range(self._undecided):
            last = None if segment is None else segment.place.steps.history.last
            if segment is not None and last is not None and last.owner is self._desk.run:
                segment.place.steps.history.undo()

    def _travel(self, moment: Moment) -> Moment:
        """Go to a moment; returns the one that is left."""
        run = self._desk.run
        self._leave()
        left = Moment(self._said.copy(), undecided=self._undecided)
        self._said.put(moment.said)
        self._undecided = moment.undecided
        if run is None:
            return left

        def swapped(future: Future[Any]) -> None:
            left.engine = self._desk.result_of(future)
            if run is self._desk.run:
                self._arrived()

        self._desk.bridge.deliver(run.engine.swap(moment.engine), swapped)
        return left
