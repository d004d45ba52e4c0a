"""The keys of the Segment widget: one table, bound while the widget is open.

A key of a layer wins over the same key of the viewer, and Points and Shapes have their
own ``A`` and ``T``; so the keys are bound on the viewer and on the prompt layers. Labels
layers use none of them, apart from undo and redo, which do the same there; one of several
levels has no undo of napari's, so the keys are bound on it too.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = [
    "KEYS",
    "MODIFIER",
    "OBJECT_KEYS",
    "PROPAGATE_KEYS",
    "SERIES_KEYS",
    "Key",
    "KeyBinder",
    "key_table",
    "name_of",
]

MODIFIER = "Shift"
"""Held while clicking, it turns the sign of that click round."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key and what it does."""

    key: str
    action: str
    """Name of the action; see ``SegmentWidget``."""
    text: str
    hold: bool = False
    """Whether the action is a generator: its second half runs when the key is let go."""


KEYS = (
    Key("A", "accept", "accept the object"),
    Key("Q", "discard", "discard clicks and box"),
    Key("T", "toggle_sign", "clicks and lines mark object / background"),
    Key("U", "one_per_point", "one object per point / all points one object"),
    Key("N", "next_candidate", "next of the offered masks"),
    Key("G", "toggle_tool", "click / draw a box"),
    Key("O", "outline", "mask as outline / filled"),
    Key("V", "fill", "fill the object in, between its planes"),
    Key("H", "peek", "held: the bare image, without masks and clicks", hold=True),
    Key("Control-Z", "undo", "take back what was done last"),
    Key("Control-Shift-Z", "redo", "do it again"),
)


PROPAGATE_KEYS = (
    Key("W", "worst", "go to the next doubtful plane"),
    Key("Shift-A", "lock", "this plane is right: keep its mask"),
    Key("Shift-Q", "clear", "the object is not on this plane"),
)
"""The keys of the Propagate widget, bound while objects are being looked through."""
OBJECT_KEYS = (
    Key("J", "next_object", "go to the next doubtful object"),
    Key("K", "next_plane", "go to its next doubtful plane"),
    Key("Y", "verify", "this object is right"),
)
"""The keys of the Objects widget, bound while it is open."""
SERIES_KEYS = (
    Key("Control-Enter", "save", "save the labels, open the next image"),
    Key("Control-PageDown", "skip", "open the next image, write nothing"),
    Key("Control-PageUp", "back", "open the image before, write nothing"),
)
"""The keys of the Series widget, bound while it is open."""


def key_table() -> list[tuple[str, str]]:
    """Keys and their meanings for people, the mouse included."""
    rows = [("Click", "on the object"), (f"{MODIFIER}+click", "the other sign")]
    return rows + [(name_of(key), key.text) for key in KEYS]


def name_of(key: Key) -> str:
    """The key as people write it."""
    return key.key.replace("Control", "Ctrl").replace("-", "+")


class KeyBinder:
    """Binds the table to actions and takes it back.

    Parameters
    ----------
    actions : mapping
        A function without arguments for each ``Key.action``.
    keys : sequence of Key
        The table.
    """

    def __init__(
        self, actions: Mapping[str, Callable[[], Any]], keys: Sequence[Key] = KEYS
    ) -> None:
        self._functions = {key.key: _as_bound(actions[key.action], key) for key in keys}
        self._bound: list[tuple[ViewerModel | Layer, dict[str, Any]]] = []

    @property
    def targets(self) -> list[ViewerModel | Layer]:
        """Where the keys are bound now."""
        return [target for target, _ in self._bound]

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


def _as_bound(action: Callable[[], Any], key: Key) -> Callable[[Any], Any]:
    """An action as napari calls it: with the viewer or layer."""

    def run(_: Any) -> None:
        action()

    def hold(_: Any) -> Generator[None, None, None]:
        yield from action()

    # napari waits for the key to be let go where it is given a generator function.
    return hold if key.hold else run
