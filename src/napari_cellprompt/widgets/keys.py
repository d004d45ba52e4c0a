"""The keys of the Segment widget: one table, bound while the widget is open.

A key of a layer wins over the same key of the viewer, and Points and Shapes have their
own ``A`` and ``T``; so the keys are bound on the viewer and on the prompt layers. Labels
layers use none of them, apart from undo and redo, which do the same there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["KEYS", "MODIFIER", "Key", "KeyBinder", "key_table"]

MODIFIER = "Shift"
"""Held while clicking, it turns the sign of that click round."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key and what it does."""

    key: str
    action: str
    """Name of the action; see ``SegmentWidget``."""
    text: str


KEYS = (
    Key("A", "accept", "accept the object"),
    Key("Q", "discard", "discard clicks and box"),
    Key("T", "toggle_sign", "clicks mark object / background"),
    Key("N", "next_candidate", "next of the offered masks"),
    Key("G", "toggle_tool", "click / draw a box"),
    Key("Control-Z", "undo", "undo the last click or object"),
    Key("Control-Shift-Z", "redo", "redo the object"),
)


def key_table() -> list[tuple[str, str]]:
    """Keys and their meanings for people, the mouse included."""
    rows = [("Click", "on the object"), (f"{MODIFIER}+click", "the other sign")]
    names = [key.key.replace("Control", "Ctrl").replace("-", "+") for key in KEYS]
    return rows + [(name, key.text) for name, key in zip(names, KEYS, strict=True)]


class KeyBinder:
    """Binds the table to actions and takes it back.

    Parameters
    ----------
    actions : mapping
        A function without arguments for each ``Key.action``.
    """

    def __init__(self, actions: Mapping[str, Callable[[], Any]]) -> None:
        self._functions = {key.key: _without_argument(actions[key.action]) for key in KEYS}
        self._bound: list[tuple[ViewerModel | Layer, dict[str, Any]]] = []

    def bind(self, viewer: ViewerModel, layers: list[Layer]) -> None:
        """Bind on the viewer and on these layers, and nowhere else."""
        self.unbind()
        for target in (viewer, *layers):
            previous = {}
            for key, function in self._functions.items():
                previous[key] = target.bind_key(key, None)
                target.bind_key(key, function)
            self._bound.append((target, previous))

    def unbind(self) -> None:
        """Give every key back to whoever had it before."""
        while self._bound:
            target, previous = self._bound.pop()
            for key, function in previous.items():
                current = target.bind_key(key, None)
                if current is not self._functions[key] and current is not None:
                    # Someone else took the key in the meantime and keeps it.
                    target.bind_key(key, current)
                elif function is not None:
                    target.bind_key(key, function)


def _without_argument(action: Callable[[], Any]) -> Callable[[Any], None]:
    """An action as napari calls it: with the viewer or layer."""

    def run(_: Any) -> None:
        action()

    return run
