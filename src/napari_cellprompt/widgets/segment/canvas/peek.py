"""The bare image, as long as a key is held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cellprompt.layers.previews.mask import is_preview

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["Peek"]


class Peek:
    """Makes masks that are not accepted, clicks and boxes transparent for a while.

    Not invisible: napari leaves the drawing tool of a layer that is switched off.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers are hidden.
    prompts : callable
        The layers with clicks and boxes.
    """

    def __init__(self, viewer: ViewerModel, prompts: Callable[[], list[Layer]]) -> None:
        self._viewer = viewer
        self._prompts = prompts
        self._hidden: list[tuple[Layer, float]] = []

    def hold(self) -> Generator[None, None, None]:
        """Hide, and show again when asked to go on."""
        self.show()
        overlays = [layer for layer in self._viewer.layers if is_preview(layer)]
        for layer in (*overlays, *self._prompts()):
            self._hidden.append((layer, layer.opacity))
            layer.opacity = 0.0
        yield
        self.show()

    def show(self) -> None:
        """Bring everything back; also where the window never saw the key let go."""
        while self._hidden:
            layer, opacity = self._hidden.pop()
            layer.opacity = opacity
