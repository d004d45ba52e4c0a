"""One history of what a person did, in the order in which it was done; knows no screen.

Steps are told how to go back and forth; whether they still can is asked of them when it
matters, since layers and files change behind their backs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["BUDGET_BYTES", "History", "Moved", "Step"]

BUDGET_BYTES = 128 * 2**20
"""What all steps together may hold; the oldest are forgotten beyond that."""


class Moved(Enum):
    """What became of a step that was to be taken back, or done again."""

    DONE = "done"
    """It is undone (or redone)."""
    STAYS = "stays"
    """Something that came after it went back first; it is still to be undone."""
    LOST = "lost"
    """What it was about is gone; it is forgotten, and the step before it is next."""


@dataclass(slots=True, eq=False)
class Step:
    """Something that was done and can be taken back."""

    text: str
    """What it was, as the beginning of a sentence: "Object 3", "A click"."""
    undo: Callable[[], Moved]
    redo: Callable[[], Moved]
    nbytes: int = 0
    """Memory that is held for this step alone."""
    owner: Hashable = None
    """Whose steps go together when they are dropped, such as those of one review."""


class History:
    """Steps to take back and to do again, within a budget of memory.

    Parameters
    ----------
    budget_bytes : int
        Of all steps together. The last step is kept whatever it holds.
    limit : int
        Number of steps.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES, limit: int = 1000) -> None:
        self._budget = budget_bytes
        self._limit = limit
        self._done: list[Step] = []
        self._undone: list[Step] = []
        self._moving = False

    def __len__(self) -> int:
        return len(self._done)

    @property
    def moving(self) -> bool:
        """Whether a step is being undone or redone: what happens now is no new step."""
        return self._moving

    @property
    def last(self) -> Step | None:
        """What undo would take back."""
        return self._done[-1] if self._done else None

    @property
    def next(self) -> Step | None:
        """What redo would do again."""
        return self._undone[-1] if self._undone else None

    @property
    def nbytes(self) -> int:
        """Memory held for all steps."""
        return sum(step.nbytes for step in (*self._done, *self._undone))

    def push(self, step: Step) -> None:
        """Add what was just done; what had been undone cannot be redone any more."""
        if self._moving:
            return
        self._undone.clear()
        self._done.append(step)
        del self._done[: -self._limit]
        while len(self._done) > 1 and self.nbytes > self._budget:
            del self._done[0]

    def undo(self) -> tuple[Step, Moved] | None:
        """Take the last step back that can be; None when there is none."""
        return self._move(self._done, self._undone, lambda step: step.undo())

    def redo(self) -> tuple[Step, Moved] | None:
        """Do the last undone step again; None when there is none."""
        return self._move(self._undone, self._done, lambda step: step.redo())

    def drop(self, owner: Hashable) -> None:
        """Forget the steps of an owner, such as those of a review that has ended."""
        self._done = [step for step in self._done if step.owner != owner]
        self._undone = [step for step in self._undone if step.owner != owner]

    def clear(self) -> None:
        """Forget everything."""
        self._done.clear()
        self._undone.clear()

    def _move(
        self, source: list[Step], target: list[Step], move: Callable[[Step], Moved]
    ) -> tuple[Step, Moved] | None:
        while source:
            step = source[-1]
            self._moving = True
            try:
                moved = move(step)
            finally:
                self._moving = False
            if moved is Moved.STAYS:
                return step, moved
            source.pop()
            if moved is Moved.DONE:
                target.append(step)
                return step, moved
        return None
