"""Looking through a propagation: corrections, locks, and planes worth a look."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers.base import ActionType

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.session.propagate import Seed
from napari_cellprompt.widgets.shared.slices import SlicedWork

from .consequences import Consequences
from .divisions import Divisions
from .lent_prompts import LentPrompts
from .pointing import mask_at, pointed_at
from .undo import Moment, ReviewSteps, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from napari.layers import Layer

    from napari_cellprompt.core.propagate.types import PlaneOutcome
    from napari_cellprompt.widgets.propagate.desk import Desk
    from napari_cellprompt.widgets.propagate.run import Run

__all__ = ["Review"]

# Adding, moving and removing each announce themselves before they happen, too.
_BEFORE = (ActionType.ADDING, ActionType.CHANGING, ActionType.REMOVING)


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
        self.said = Said()
        self.steps = ReviewSteps(desk, self.said, leave=self._leave, arrived=self._arrived)
        self.divisions = Divisions(desk, self.steps, show=self.object_chosen, follow=follow)
        self._prompts = LentPrompts()
        self._worst: dict[int, int] = {}
        self._connected: list[tuple[Any, Callable[..., None]]] = []
        self._look = desk.timer(0, self._read_prompts)
        self._paint = desk.timer(0, self._read_paint)
        self._work = SlicedWork(desk.bridge)
        self.consequences = Consequences(
            desk, self.said, self.steps, work=self._work, used=self.divisions.look
        )
        desk.preview_returned.connect(self.follow_preview)

    # --- life ------------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        """Take over the prompt layers for corrections."""
        segment = self._desk.segment
        if segment is None:
            return
        self.active = True
        segment.place.steps.review, segment.place.steps.tell_review = run, self._desk.tell
        said = self.said
        for seed in run.seeds:
            said.prompts[seed.id, seed.plane] = seed.prompts
            if seed.prompts.mask is not None:
                said.masks[seed.id, seed.plane] = seed.prompts.mask
        if run.collected.prompts is not None:
            place = run.collected.ids[0], run.collected.planes[0]
            said.shown[place] = said.prompts[place] = run.collected.prompts
            # More points there go with those that were clicked, not with the mask.
            del said.masks[place]
        chosen = segment.place.chosen
        self._prompts.take(chosen, run.stack)
        for layer in chosen.prompts:
            self._follow_prompts(layer)
        self._connect(segment.place.chosen_changed, self._adopt)
        self.object_chosen()
        self.follow_preview()

    def _follow_prompts(self, layer: Layer) -> None:
        self._connect(layer.events.data, self._on_data)
        self._connect(layer.events.features, self._on_features)

    def _adopt(self) -> None:
        """Take clicks and boxes from layers too that are made in the meantime."""
        desk, run = self._desk, self._desk.run
        if run is None or desk.segment is None:
            return
        chosen = desk.segment.place.chosen
        if chosen.image == run.stack.image:
            for layer in self._prompts.adopt(chosen, desk.viewer.layers):
                self._follow_prompts(layer)

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
            plane: item
            for (own, plane), item in self.said.shown.items()
            if own == object_id
        }
        self._prompts.show(own)
        # What was just written into the layers is no correction.
        self._look.stop()
        layer = self._desk.preview.layer
        if layer is not None and object_id is not None:
            layer.selected_label = object_id

    def pause(self) -> None:
        """Start nothing new by itself."""
        for timer in (self._look, self._paint):
            timer.stop()
        self.consequences.pause()

    def end(self, *, clear: int | None = None) -> None:
        """Give everything back; ``clear`` is a plane whose prompts are done with."""
        self.pause()
        self._work.stop()
        while self._connected:
            emitter, callback = self._connected.pop()
            emitter.disconnect(callback)
        self.consequences.end()
        self._prompts.give_back(clear=clear)
        segment = self._desk.segment
        if segment is not None and self.active:
            segment.place.steps.history.drop(segment.place.steps.review)
            segment.place.steps.review = segment.place.steps.tell_review = None
        self.active = False
        self.said.clear()
        self._worst.clear()
        self.steps.decided()
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
        before = self.said.shown.get(place, Prompts())
        if now.is_empty or now == before:
            return
        outcomes = {} if self._desk.run is None else self._desk.run.engine.outcomes()
        other = pointed_at(outcomes, plane, now, before, first=object_id)
        if other not in (None, object_id):
            self._turn_to(other)
            return
        moment = self.steps.moment()
        self.said.shown[place] = now
        known = place in self.said.masks
        if not now.outlined and not known and 1 not in now.labels:
            # Clicks that only take away cut from the mask that is there.
            there = mask_at(outcomes, place)
            if there is None:
                self._desk.tell("There is no mask here to cut from.", warn=True)
                return
            self.said.masks[place] = there
        if not now.outlined and place in self.said.masks:
            # Points correct the mask that was painted, or taken from the Labels layer.
            now = replace(now, mask=self.said.masks[place])
        self._correct(object_id, plane, now, moment)

    def _turn_to(self, object_id: int | None) -> None:
        """Look at another object; the click that said so changes nothing yet."""
        self._desk.object_id = object_id
        self.object_chosen()
        self._desk.strip_changed.emit()
        self._desk.tell(
            f"Object {object_id} is chosen now; nothing was changed. Click again to "
            "correct it."
        )

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
        moment = self.steps.moment()
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
                self.said.masks[number, plane] = mask
                self._correct(number, plane, Prompts(mask=mask), moment)
            else:
                self.clear(number, plane)

    def _correct(
        self, object_id: int, plane: int, prompts: Prompts, moment: Moment
    ) -> None:
        run = self._desk.run
        if run is None:
            return
        self.consequences.drop_pending()

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
            self.said.prompts[object_id, plane] = prompts
            word = run.stack.axis.plane_word
            self._changed_by_hand(
                outcome, f"The correction of object {object_id} on {word} {plane}", moment
            )

        future = run.engine.correct(Seed(object_id, plane, prompts))
        self._desk.bridge.deliver(future, corrected)

    def _changed_by_hand(self, outcome: PlaneOutcome, text: str, moment: Moment) -> None:
        """Show what the user asked for at once; other planes follow after a pause."""
        self._desk.draw([outcome])
        # A run that is on takes corrections into account by itself.
        follows = self._desk.stage == "running" and not self.consequences.tracking
        self.steps.note(text, moment, undecided=not follows)
        if not follows:
            self.said.corrected.add(outcome.id)
            self.consequences.find_soon()

    def _leave(self) -> None:
        """Give up what is asked or tracked, since another moment is gone to."""
        self.pause()
        self.consequences.leave()

    def _arrived(self) -> None:
        """Show another moment: masks, clicks, and how far planes can be trusted."""
        desk, run = self._desk, self._desk.run
        if run is None:
            return
        outcomes = run.engine.outcomes()
        places = {(plane, number) for number, plane in outcomes} | set(desk.preview.drawn)

        def draw() -> Generator[None, None, None]:
            for plane, number in sorted(places):
                known = outcomes.get((number, plane))
                desk.preview.draw(plane, number, None if known is None else known.mask)
                yield

        def drawn(error: Exception | None) -> None:
            desk.preview.refresh()
            desk.strip_changed.emit()
            # a division that was taken back is proposed again
            self.divisions.look()

        ids = {number for number, _ in outcomes}
        if desk.object_id is not None:
            if desk.object_id not in ids:
                desk.object_id = min(ids, default=None)
            self.object_chosen()
        self._work.start(draw(), drawn)
        if self.said.corrected:
            # what the correction changes elsewhere was not agreed to: it is asked again
            self.consequences.find_soon()

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
        self.consequences.drop_pending()
        known = run.engine.outcomes().get(place)
        locked = known is not None and known.state == "locked"
        moment = self.steps.moment()

        def done(future: Future[PlaneOutcome | None]) -> None:
            outcome = self._desk.result_of(future)
            if outcome is None or run is not self._desk.run:
                return
            self._desk.draw([outcome])
            word = run.stack.axis.plane_word.capitalize()
            state = "may change again" if locked else "is accepted and will not change"
            name = "unlocking" if locked else "locking"
            where = f"{word.lower()} {place[1]} of object {place[0]}"
            self.steps.note(f"The {name} of {where}", moment)
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
        self.consequences.drop_pending()
        moment = self.steps.moment()

        def done(future: Future[PlaneOutcome]) -> None:
            outcome = self._desk.result_of(future)
            if outcome is not None and run is self._desk.run:
                self.said.prompts.pop(place, None)
                self.said.masks.pop(place, None)
                word = run.stack.axis.plane_word
                text = f"'Not here' for object {place[0]} on {word} {place[1]}"
                self._changed_by_hand(outcome, text, moment)

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
