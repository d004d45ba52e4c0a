"""Looking through a propagation: corrections, locks, changes and divisions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers.base import ActionType

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.types import MaskRLE, Prompts
from napari_cellprompt.session.propagate import Seed
from napari_cellprompt.widgets.shared.slices import SlicedWork

from .changes import ChangesOverlay
from .divisions import Divisions
from .lent_prompts import LentPrompts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from napari_cellprompt.core.propagate.types import PlaneOutcome
    from napari_cellprompt.session.propagate import Changes

    from .desk import Desk
    from .run import Run

__all__ = ["Review"]

# Adding, moving and removing each announce themselves before they happen, too.
_BEFORE = (ActionType.ADDING, ActionType.CHANGING, ActionType.REMOVING)
# After the last click of a correction, other planes are tracked again.
_PAUSE = 600


class Review:
    """What the user does about the planes of a propagation.

    Parameters
    ----------
    desk : Desk
        Holds the run that is looked through.
    follow : callable
        ``follow(run, text)`` tracks all objects of a run to where they are wanted.
    """

    def __init__(self, desk: Desk, *, follow: Callable[[Run, str], None]) -> None:
        self._desk = desk
        self.active = False
        self.said: dict[tuple[int, int], Prompts] = {}
        """What the user said, by id and plane."""
        self.divisions = Divisions(desk, show=self.object_chosen, follow=follow)
        self.changes = ChangesOverlay(desk.viewer)
        self._prompts = LentPrompts()
        self._shown: dict[tuple[int, int], Prompts] = {}
        self._masks: dict[tuple[int, int], MaskRLE] = {}
        self._corrected: set[int] = set()
        self._again = False
        self._tracking = False
        self._worst: dict[int, int] = {}
        self._connected: list[tuple[Any, Callable[..., None]]] = []
        self._look = desk.timer(0, self._read_prompts)
        self._paint = desk.timer(0, self._read_paint)
        self._later = desk.timer(_PAUSE, self.track_again)
        self._work = SlicedWork(desk.bridge)
        desk.preview_returned.connect(self.follow_preview)

    # --- life ------------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        """Take over the prompt layers for corrections."""
        segment = self._desk.segment
        if segment is None:
            return
        self.active = True
        self.said = {(seed.id, seed.plane): seed.prompts for seed in run.seeds}
        self._masks = {
            place: prompts.mask
            for place, prompts in self.said.items()
            if prompts.mask is not None
        }
        if run.collected.prompts is not None:
            place = run.collected.ids[0], run.collected.planes[0]
            self._shown[place] = self.said[place] = run.collected.prompts
            # More points there go with those that were clicked, not with the mask.
            del self._masks[place]
        chosen = segment.chosen
        self._prompts.take(chosen, run.stack)
        for layer in chosen.prompts:
            self._connect(layer.events.data, self._on_data)
            self._connect(layer.events.features, self._on_features)
        self.object_chosen()
        self.follow_preview()

    def follow_preview(self) -> None:
        """Let the user paint corrections into the preview layer."""
        layer = self._desk.preview.layer
        if layer is not None:
            self._connect(layer.events.paint, self._on_paint)
            layer.selected_label = self._desk.object_id or 1

    def object_chosen(self) -> None:
        """Show the prompts of the object that is looked at."""
        object_id = self._desk.object_id
        own = {
            plane: item for (own, plane), item in self._shown.items() if own == object_id
        }
        self._prompts.show(own)
        # What was just written into the layers is no correction.
        self._look.stop()
        layer = self._desk.preview.layer
        if layer is not None and object_id is not None:
            layer.selected_label = object_id

    def pause(self) -> None:
        """Start nothing new by itself."""
        for timer in (self._look, self._paint, self._later):
            timer.stop()

    def end(self, *, clear: int | None = None) -> None:
        """Give everything back; ``clear`` is a plane whose prompts are done with."""
        self.pause()
        self._work.stop()
        while self._connected:
            emitter, callback = self._connected.pop()
            emitter.disconnect(callback)
        self.changes.close()
        self._prompts.give_back(clear=clear)
        self.active = self._again = self._tracking = False
        for known in (self.said, self._shown, self._masks, self._worst):
            known.clear()
        self._corrected.clear()
        self.divisions.proposals = []

    def _connect(self, emitter: Any, callback: Callable[..., None]) -> None:
        emitter.connect(callback)
        self._connected.append((emitter, callback))

    # --- corrections -----------------------------------------------------------------

    def _on_data(self, event: Any = None) -> None:
        if getattr(event, "action", None) not in _BEFORE:
            self._look.start()

    def _on_features(self, event: Any = None) -> None:
        self._look.start()

    def _on_paint(self, event: Any = None) -> None:
        self._paint.start()

    def _read_prompts(self) -> None:
        """Send clicks and boxes that are new on this plane as a correction."""
        plane, object_id = self._desk.plane, self._desk.object_id
        if plane is None or object_id is None or not self._prompts.lent:
            return
        place = object_id, plane
        try:
            now = self._prompts.read(plane)
        except CellpromptError as error:
            self._desk.tell(str(error), warn=True)
            return
        if now.is_empty or now == self._shown.get(place, Prompts()):
            return
        self._shown[place] = now
        if now.box is None and place in self._masks:
            # Points correct the mask that was painted, or taken from the Labels layer.
            now = replace(now, mask=self._masks[place])
        self._correct(object_id, plane, now)

    def _read_paint(self) -> None:
        """Send what the user painted into the preview as a correction."""
        desk = self._desk
        plane, run = desk.plane, desk.run
        target = None if plane is None else desk.preview.plane(plane)
        if plane is None or run is None or target is None:
            return
        outcomes = run.engine.outcomes()
        ids = {object_id for object_id, _ in outcomes}
        expected = np.zeros_like(target)
        for object_id in ids:
            known = outcomes.get((object_id, plane))
            if known is not None and known.mask is not None:
                expected[known.mask.indices()] = object_id
        different = target != expected
        touched = {*np.unique(target[different]), *np.unique(expected[different])} - {0}
        for number in sorted(int(number) for number in touched):
            if number not in ids:
                desk.tell(f"Object {number} is not followed here.", warn=True)
                continue
            painted = target == number
            desk.preview.claim(plane, number)
            if painted.any():
                mask = encode(painted)
                self._masks[number, plane] = mask
                self._correct(number, plane, Prompts(mask=mask))
            else:
                self.clear(number, plane)

    def _correct(self, object_id: int, plane: int, prompts: Prompts) -> None:
        run = self._desk.run
        if run is None:
            return
        self._drop_pending()

        def corrected(future: Future[PlaneOutcome]) -> None:
            outcome = self._desk.result_of(future)
            if outcome is None or run is not self._desk.run:
                return
            if outcome.mask is None:
                word = run.stack.axis.plane_word
                self._desk.tell(
                    f"The model finds nothing there on {word} {plane}: nothing has "
                    "changed. Click on the object, or press Shift+Q if it is not here.",
                    warn=True,
                )
                return
            self.said[object_id, plane] = prompts
            self._changed_by_hand(outcome)

        future = run.engine.correct(Seed(object_id, plane, prompts))
        self._desk.bridge.deliver(future, corrected)

    def _changed_by_hand(self, outcome: PlaneOutcome) -> None:
        """Show what the user asked for at once; other planes follow after a pause."""
        self._desk.draw([outcome])
        self._corrected.add(outcome.id)
        if self._desk.stage == "running" and not self._tracking:
            return  # the run takes corrections into account by itself
        self._later.start()

    def _drop_pending(self) -> None:
        """Changes that were not decided about are found again from the new state."""
        run = self._desk.run
        if run is not None and self._desk.stage == "changes":
            self.changes.close()
            run.engine.discard_changes()
            self._desk.enter("review")
        elif run is not None and self._tracking:
            self._again = True
            run.engine.cancel()

    # --- tracking again --------------------------------------------------------------

    def track_again(self) -> None:
        """Track the planes that corrections have made obsolete."""
        desk, run = self._desk, self._desk.run
        if run is None or not self._corrected:
            return
        if desk.stage != "review":
            self._again = self._again or self._tracking
            return
        self._tracking, self._again = True, False
        desk.enter("running", "Following again from the correction ...")
        listener = desk.listeners(run)["on_progress"]
        future = run.engine.repropagate(tuple(self._corrected), on_progress=listener)
        desk.bridge.deliver(future, lambda done: self._tracked(run, done))

    def _tracked(self, run: Run, future: Future[Changes]) -> None:
        desk = self._desk
        if run is not desk.run:
            return
        changes = desk.result_of(future)
        self._tracking = False
        if changes is None:
            desk.enter("review")
            return
        desk.unfinished = changes.summary.remaining
        if self._again:
            run.engine.discard_changes()
            desk.enter("review")
            self.track_again()
            return
        if not changes.planes:
            run.engine.accept_changes()
            self._corrected.clear()
            desk.enter("review", "No other plane has changed.")
            desk.strip_changed.emit()
            return

        def drawn(error: Exception | None) -> None:
            if error is not None:
                desk.tell(str(error), warn=True)
            count, word = len(changes.planes), run.stack.axis.plane_word
            desk.enter(
                "changes",
                f"{count} {word}{'s' * (count > 1)} would change: blue is added, orange "
                "removed. Use these changes, or keep what was there?",
            )

        self._work.start(self.changes.show(run.stack, changes.planes), drawn)

    def use_changes(self) -> None:
        """Replace the planes that tracking again has changed."""
        desk, run = self._desk, self._desk.run
        if run is None or desk.stage != "changes":
            return
        run.engine.accept_changes()
        self._corrected.clear()
        planes = [change for change, _, _ in self.changes.planes]
        self.changes.close()

        def draw() -> Generator[None, None, None]:
            for change in planes:
                mask = None if change.after is None else change.after.mask
                desk.preview.draw(change.plane, change.id, mask)
                yield

        def drawn(error: Exception | None) -> None:
            desk.preview.refresh()
            desk.strip_changed.emit()
            self.divisions.look()

        desk.enter("review", f"{len(planes)} planes were replaced.")
        self._work.start(draw(), drawn)

    def drop_changes(self) -> None:
        """Keep all other planes as they were; the corrected plane stays corrected."""
        desk, run = self._desk, self._desk.run
        if run is None or desk.stage != "changes":
            return
        self.changes.close()
        self._corrected.clear()
        desk.enter("review", "The other planes stay as they were.")
        desk.bridge.deliver(
            run.engine.discard_changes(), lambda done: desk.strip_changed.emit()
        )

    # --- single planes ---------------------------------------------------------------

    def worst(self) -> None:
        """Go to the next plane that is most worth a look."""
        desk, run = self._desk, self._desk.run
        object_id = desk.object_id
        if run is None or object_id is None:
            return
        plane = run.engine.worst_plane(object_id, after=self._worst.get(object_id))
        if plane is None:
            self._worst.pop(object_id, None)
            desk.tell(f"Object {object_id} has no other doubtful plane.")
            return
        self._worst[object_id] = plane
        desk.go_to(plane)

    def lock(self) -> None:
        """Keep the mask of this plane whatever happens, or no longer so."""
        place = self._place()
        run = self._desk.run
        if place is None or run is None:
            return
        if self._desk.stage == "changes":
            self._desk.tell("Use the changes or keep the old masks first.")
            return
        known = run.engine.outcomes().get(place)
        locked = known is not None and known.state == "locked"

        def done(future: Future[PlaneOutcome | None]) -> None:
            outcome = self._desk.result_of(future)
            if outcome is None or run is not self._desk.run:
                return
            self._desk.draw([outcome])
            word = run.stack.axis.plane_word.capitalize()
            state = "may change again" if locked else "is accepted and will not change"
            self._desk.tell(f"{word} {place[1]} of object {place[0]} {state}.")

        engine = run.engine
        future: Future[Any] = engine.unlock(*place) if locked else engine.lock(*place)
        self._desk.bridge.deliver(future, done)

    def clear(self, object_id: int | None = None, plane: int | None = None) -> None:
        """Say that the object is not on this plane."""
        place = self._place() if object_id is None or plane is None else (object_id, plane)
        run = self._desk.run
        if place is None or run is None:
            return
        self._drop_pending()

        def done(future: Future[PlaneOutcome]) -> None:
            outcome = self._desk.result_of(future)
            if outcome is not None and run is self._desk.run:
                self.said.pop(place, None)
                self._masks.pop(place, None)
                self._changed_by_hand(outcome)

        self._desk.bridge.deliver(run.engine.clear(*place), done)

    def _place(self) -> tuple[int, int] | None:
        plane, object_id = self._desk.plane, self._desk.object_id
        if plane is None or object_id is None:
            self._desk.tell("Go to a plane of the propagated stack first.")
            return None
        return object_id, plane

    def ready(self, *, divisions: bool) -> None:
        """The run has come to an end."""
        if divisions:
            self.divisions.look()
        self._desk.strip_changed.emit()
