"""What Segment's history is made of: what is drawn, and objects that were accepted."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING

from napari_cellprompt.layers.drawn import Drawing
from napari_cellprompt.session.history import History, Moved, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_cellprompt.layers.accept import Acceptor

    from .prompt_layers import Chosen

__all__ = ["DrawingHistory", "acceptance"]

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

    _since = 0.0

    def _note(self, chosen: Chosen, ends: list[Drawing], text: str) -> Step:
        """Make a change from one drawing to another the last step of history."""
        step = Step(
            text or _what(*ends),
            undo=lambda: self._put(chosen, ends[0]),
            redo=lambda: self._put(chosen, ends[1]),
            nbytes=sum(drawing.nbytes for drawing in ends),
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


def acceptance(
    text: str,
    acceptor: Acceptor,
    labels: Labels,
    ids: tuple[int, ...],
    *,
    back: Callable[[], None],
    forth: Callable[[], None],
    nbytes: int = 0,
) -> Step:
    """The step of objects that were written into a Labels layer.

    Parameters
    ----------
    text : str
        What was accepted.
    acceptor : Acceptor
        Wrote them.
    labels : napari.layers.Labels
        Where they are.
    ids : tuple of int
        The objects.
    back, forth : callable
        Called after they are taken out of the layer, or are back in it.
    nbytes : int
        What these hold.
    """
    held = weakref.ref(labels)

    def undo() -> Moved:
        layer = held()
        if layer is None or not acceptor.is_shown(layer):
            return Moved.LOST
        if not acceptor.holds(layer, ids):
            return Moved.LOST  # taken back in the layer itself
        acceptor.undo(layer)
        if acceptor.holds(layer, ids):
            return Moved.STAYS  # a stroke of the brush that came after it went first
        back()
        return Moved.DONE

    def redo() -> Moved:
        layer = held()
        if layer is None or not acceptor.is_shown(layer) or acceptor.holds(layer, ids):
            return Moved.LOST
        acceptor.redo(layer)
        if not acceptor.holds(layer, ids):
            return Moved.LOST
        forth()
        return Moved.DONE

    return Step(text, undo, redo, nbytes)


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
