"""What Segment's history is made of: what is drawn, and objects that were accepted."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_cellprompt.layers.prompting.drawn import Drawing
from napari_cellprompt.layers.stacks import show_plane
from napari_cellprompt.session.history import History, Moved, Step
from napari_cellprompt.widgets.segment.canvas.prompt_layers import Chosen, bring_undo_near

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_cellprompt.layers.coordinates import PlaneView
    from napari_cellprompt.layers.labels.accept import Acceptor
    from napari_cellprompt.session.objects import ObjectRecord

__all__ = ["DRAWING", "DrawingHistory", "Steps"]

DRAWING = "drawing"
"""Owner of the steps that are about clicks and boxes."""
_ONE_DRAG = 1.0
"""Seconds between two changes that are one and the same drag of the mouse."""


class DrawingHistory:
    """Notes each change of the prompt layers as a step, whoever made it.

    Parameters
    ----------
    history : History
        Takes the steps.
    viewer : napari.components.ViewerModel
        Whose layers are drawn in; what is gone from it cannot be taken back.
    """

    def __init__(self, history: History, viewer: ViewerModel) -> None:
        self._history = history
        self._viewer = viewer
        self._chosen: Chosen | None = None
        self.known: Drawing | None = None
        """What was there when it was looked at last."""
        self._step: Step | None = None
        self._ends: list[Drawing] = []
        self._since = 0.0

    @property
    def chosen(self) -> Chosen | None:
        """The layers that are looked at."""
        return self._chosen

    def start(self, chosen: Chosen) -> None:
        """Look at these layers from now on; what is in them is no step."""
        self._chosen = chosen
        self.known = Drawing.of(chosen.points, chosen.boxes)
        self._step = None

    def look(self, chosen: Chosen, text: str = "") -> None:
        """Note what has changed since; with other layers, only remember what is there.

        Parameters
        ----------
        chosen : Chosen
            The layers that are drawn in.
        text : str
            What was done, where the caller knows better than can be seen.
        """
        old, before = self._chosen, self.known
        if (
            old is None
            or before is None
            or old.points is not chosen.points
            or old.boxes is not chosen.boxes
        ):
            self.start(chosen)
            return
        after = Drawing.of(chosen.points, chosen.boxes)
        if after.same(before):
            return
        self.known = after
        if self._history.moving:
            return
        now = time.monotonic()
        moved = not text and _size(before) == _size(after)
        if moved and self._step is not None and self._step is self._history.last:
            if now - self._since < _ONE_DRAG:
                self._ends[1], self._since = after, now
                return
        # Clicks that came faster than they were looked at are steps of their own.
        for between in after.clicks_since(before):
            self._note(chosen, [before, between], text)
            before = between
        ends = [before, after]
        step = self._note(chosen, ends, text)
        self._step, self._ends, self._since = (step if moved else None), ends, now

    def _note(self, chosen: Chosen, ends: list[Drawing], text: str) -> Step:
        """Make a change from one drawing to another the last step of history."""
        step = Step(
            text or _what(*ends),
            undo=lambda: self._put(chosen, ends[0]),
            redo=lambda: self._put(chosen, ends[1]),
            nbytes=sum(drawing.nbytes for drawing in ends),
            owner=DRAWING,
        )
        self._history.push(step)
        return step

    def put(self, chosen: Chosen, drawing: Drawing | None) -> None:
        """Draw as it was; no step by itself."""
        if drawing is not None and self._there(chosen):
            drawing.put(chosen.points, chosen.boxes)
            # what is looked at may be the layers of another image by now
            now = self._chosen or chosen
            self.known = Drawing.of(now.points, now.boxes)

    def _put(self, chosen: Chosen, drawing: Drawing) -> Moved:
        if not self._there(chosen):
            return Moved.LOST
        self.put(chosen, drawing)
        return Moved.DONE

    def _there(self, chosen: Chosen) -> bool:
        return all(layer in self._viewer.layers for layer in chosen.prompts)


class Steps:
    """The history of Segment, and of what writes into its Labels layer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers are drawn in and written to.
    acceptor : Acceptor
        Writes objects, and takes them out again.
    """

    moved = Signal(str, str)
    """``undo`` or ``redo`` of what was no drawing, and what was told of it."""

    def __init__(self, viewer: ViewerModel, acceptor: Acceptor) -> None:
        self._viewer = viewer
        self._acceptor = acceptor
        self.history = History()
        self.drawing = DrawingHistory(self.history, viewer)
        self.review: Hashable = None
        """Whose steps go back first, while a propagation is looked through."""
        self.tell_review: Callable[[str], None] | None = None
        """Shows where the user looks meanwhile what was taken back."""
        self._warned_of: Step | None = None

    def done(self, step: Step, labels: Labels | None = None) -> None:
        """Make something the last step, and have Ctrl+Z take it back.

        Parameters
        ----------
        step : Step
            What was done.
        labels : napari.layers.Labels, optional
            Where it was written; its own undo takes back the same.
        """
        self.history.push(step)
        bring_undo_near(self._viewer, self.drawing.chosen or Chosen(), labels)

    def accepted(
        self,
        labels: Labels,
        records: Sequence[ObjectRecord],
        *,
        image: Image | None = None,
        view: PlaneView | None = None,
        before: Drawing | None = None,
        chosen: Chosen | None = None,
    ) -> None:
        """Make objects that were written into a Labels layer the last step.

        Parameters
        ----------
        labels : napari.layers.Labels
            Where they are, written as one step of the layer's own undo.
        records : sequence of ObjectRecord
            The objects.
        image, view
            The plane to go to where they go or come back.
        before : Drawing, optional
            What was drawn before they were accepted, in the layers of ``chosen``.
        chosen : Chosen, optional
            The layers with clicks and boxes.
        """
        if not records:
            return
        held, after = weakref.ref(labels), self.drawing.known

        def move(undone: bool) -> Moved:
            layer = held()
            if layer is None or not self._acceptor.is_shown(layer):
                return Moved.LOST
            if self._acceptor.holds(layer, records) is not undone:
                return Moved.LOST  # taken back, or brought back, in the layer itself
            (self._acceptor.undo if undone else self._acceptor.redo)(layer)
            if self._acceptor.holds(layer, records) is undone:
                # A stroke of the brush that came after them went back first.
                return Moved.STAYS if undone else Moved.LOST
            if image is not None and view is not None and image in self._viewer.layers:
                show_plane(self._viewer, image, view)
            if chosen is not None and self.review is None:
                self.drawing.put(chosen, before if undone else after)
            return Moved.DONE

        numbers = ", ".join(str(record.id) for record in records[:5])
        more = ", ..." if len(records) > 5 else ""
        self.done(
            Step(
                f"Object{'s' if len(records) > 1 else ''} {numbers}{more}",
                undo=lambda: move(True),
                redo=lambda: move(False),
                nbytes=0 if before is None else 2 * before.nbytes,
            ),
            labels,
        )

    def undo(self, chosen: Chosen) -> str:
        """Take the last step back; returns what to tell the user."""
        return self._moved("undo", *self._undo(chosen))

    def redo(self, chosen: Chosen) -> str:
        """Do the last undone step again; returns what to tell the user."""
        return self._moved("redo", *self._redo(chosen))

    def _moved(self, what: str, text: str, objects: bool) -> str:
        if objects:
            self.moved.emit(what, text)
        if self.review is not None and self.tell_review is not None:
            self.tell_review(text)
        return text

    def _undo(self, chosen: Chosen) -> tuple[str, bool]:
        """What to tell, and whether objects may be others now."""
        self._look(chosen)
        step = self.history.last
        if self.review is not None and step is not None and step.owner != self.review:
            if step.owner == DRAWING:
                text = (
                    "Clicks from before this propagation are put away: accept or discard "
                    "it first."
                )
                return text, False
            if step is not self._warned_of:
                self._warned_of = step
                text = (
                    "Nothing of this review is left to take back. Ctrl+Z once more takes "
                    f"back what was before: {step.text}."
                )
                return text, False
        self._warned_of = None
        moved = self.history.undo()
        if moved is not None:
            return _told(*moved, "undone"), moved[0].owner != DRAWING
        if chosen.labels is None:
            return "There is nothing to undo.", False
        # what was painted by hand, or accepted before this widget was opened
        return self._acceptor.undo(chosen.labels), True

    def _redo(self, chosen: Chosen) -> tuple[str, bool]:
        self._look(chosen)
        moved = self.history.redo()
        if moved is not None:
            return _told(*moved, "back"), moved[0].owner != DRAWING
        if chosen.labels is None:
            return "There is nothing to redo.", False
        return self._acceptor.redo(chosen.labels), True

    def _look(self, chosen: Chosen) -> None:
        if self.review is None:
            self.drawing.look(chosen)


def _told(step: Step, moved: Moved, word: str) -> str:
    if moved is Moved.STAYS:
        return f"A change by hand after {step.text} is undone; that is next."
    verb = "are" if step.text.startswith("Objects ") else "is"
    return f"{step.text} {verb} {word}."


def _size(drawing: Drawing) -> tuple[int, int]:
    return len(drawing.points), len(drawing.shapes)


def _what(before: Drawing, after: Drawing) -> str:
    """A change in words, from the numbers of clicks and shapes."""
    clicks, shapes = (b - a for a, b in zip(_size(before), _size(after), strict=True))
    if (clicks, shapes) == (0, 0):
        return "The last change of clicks and boxes"
    if min(clicks, shapes) >= 0:
        if clicks and shapes:
            return "The last clicks and boxes"
        name, count = ("click", clicks) if clicks else ("box", shapes)
        return f"The last {name}" if count == 1 else f"The last {count} {_many(name)}"
    parts = [
        f"{-count} {name if count == -1 else _many(name)}"
        for name, count in (("click", clicks), ("box", shapes))
        if count < 0
    ]
    return f"Deleting {' and '.join(parts)}"


def _many(name: str) -> str:
    return f"{name}es" if name.endswith("x") else f"{name}s"
