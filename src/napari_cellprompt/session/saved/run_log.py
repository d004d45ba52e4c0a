"""What a propagation was told, in order, so that it can be done again.

The engine does the same from the same calls: seeds, runs, corrections, locks, ends and
divisions are noted where they reach it, on the inference thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.propagate.objects import TrackedObject
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.io.session_types import RunCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from napari_cellprompt.core.propagate.types import Direction, PlaneOutcome
    from napari_cellprompt.core.types import Prompts

__all__ = ["LoggedPropagator", "repeat"]


class _Snapshot(dict[int, TrackedObject]):
    """What was known at one moment, with its number in the log."""

    number: int | None = None


class LoggedPropagator(StackPropagator):
    """A propagator that notes what it is told; parameters are those of its base."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.calls: list[RunCall] = []
        """Everything so far, in order."""
        self._snapshots = 0

    def prompt_many(
        self,
        plane: int,
        prompts: Mapping[int, Prompts],
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[PlaneOutcome]:
        """Note what was said of objects of a plane."""
        outcomes = super().prompt_many(plane, prompts, cancelled=cancelled)
        self._note(RunCall(do="prompt", plane=plane, prompts=tuple(prompts.items())))
        return outcomes

    def lock(self, object_id: int, plane: int) -> PlaneOutcome:
        """Note that a plane was locked."""
        outcome = super().lock(object_id, plane)
        self._note(RunCall(do="lock", id=object_id, plane=plane))
        return outcome

    def unlock(self, object_id: int, plane: int) -> PlaneOutcome | None:
        """Note that a lock, or a clear, was taken back."""
        outcome = super().unlock(object_id, plane)
        self._note(RunCall(do="unlock", id=object_id, plane=plane))
        return outcome

    def clear(self, object_id: int, plane: int) -> PlaneOutcome:
        """Note that an object is not on a plane."""
        outcome = super().clear(object_id, plane)
        self._note(RunCall(do="clear", id=object_id, plane=plane))
        return outcome

    def remove(self, object_id: int) -> None:
        """Note that an object was forgotten."""
        super().remove(object_id)
        self._note(RunCall(do="remove", id=object_id))

    def snapshot(self) -> dict[int, TrackedObject]:
        """Note a moment that the engine may go back to."""
        found = _Snapshot(super().snapshot())
        found.number = self._snapshots
        self._snapshots += 1
        self._note(RunCall(do="snapshot", number=found.number))
        return found

    def restore(self, snapshot: Mapping[int, TrackedObject]) -> None:
        """Note the moment that the engine went back to."""
        super().restore(snapshot)
        number = snapshot.number if isinstance(snapshot, _Snapshot) else None
        self._note(RunCall(do="restore", number=number))

    def kept(self) -> tuple[dict[int, TrackedObject], list[RunCall]]:
        """What is known of all objects, and every call; safe from any thread."""
        return super().snapshot(), list(self.calls)

    def go_on(self, objects: Mapping[int, TrackedObject], calls: Sequence[RunCall]) -> None:
        """Become what was kept in a file, with all that had led to it."""
        super().restore(objects)
        self.calls = list(calls)
        self._snapshots = sum(call.do == "snapshot" for call in calls)

    def propagate(
        self,
        *,
        ids: Sequence[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "both",
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[tuple[int, list[PlaneOutcome]]]:
        """Note which planes were wanted, and how many were done."""
        place, done = len(self.calls), 0

        def call() -> RunCall:
            wanted = None if ids is None else tuple(ids)
            return RunCall(
                do="follow",
                ids=wanted,
                start=start,
                stop=stop,
                direction=direction,
                number=done,
            )

        self.calls.append(call())
        for item in super().propagate(
            ids=ids, start=start, stop=stop, direction=direction, cancelled=cancelled
        ):
            done += 1
            if place < len(self.calls):
                self.calls[place] = call()
            yield item

    def _note(self, call: RunCall) -> None:
        self.calls.append(call)


def repeat(
    engine: StackPropagator,
    calls: Sequence[RunCall],
    progress: Callable[[int], None] | None = None,
) -> bool:
    """Tell an engine all of it again; False where that is not possible.

    Parameters
    ----------
    engine
        Without objects.
    calls
        From :attr:`LoggedPropagator.calls`.
    progress
        Called with each plane that was followed.
    """
    moments: dict[int, dict[int, TrackedObject]] = {}
    for call in calls:
        if call.do == "snapshot" and call.number is not None:
            moments[call.number] = engine.snapshot()
        elif call.do == "restore":
            if call.number not in moments:
                return False
            engine.restore(moments[call.number])
        elif call.do == "follow":
            _follow(engine, call, progress)
        elif call.do == "remove" and call.id is not None:
            engine.remove(call.id)
        elif call.do == "prompt" and call.plane is not None:
            engine.prompt_many(call.plane, dict(call.prompts))
        elif call.do in ("lock", "unlock", "clear"):
            if call.id is None or call.plane is None:
                return False
            getattr(engine, call.do)(call.id, call.plane)
        else:
            return False
    return True


def _follow(
    engine: StackPropagator, call: RunCall, progress: Callable[[int], None] | None
) -> None:
    """As many planes as were done; a run that was stopped is stopped there again."""
    direction: Any = call.direction or "both"
    running = engine.propagate(
        ids=call.ids, start=call.start, stop=call.stop, direction=direction
    )
    for _ in range(call.number or 0):
        step = next(running, None)
        if step is None:
            break
        if progress is not None:
            progress(step[0])
    close = getattr(running, "close", None)
    if close is not None:
        close()
