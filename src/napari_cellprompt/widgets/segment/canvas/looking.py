"""Shows and hides what the model sees, and keeps it true while it is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cellprompt.widgets.shared.bridge import complaint

from .view_layer import ModelViewLayer
from .watch import view_centre

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.inference.model import Shown
    from napari_cellprompt.core.types import PlaneKey, Tile
    from napari_cellprompt.layers.prompting.resolve import SegmentState
    from napari_cellprompt.session.segment import SegmentSession
    from napari_cellprompt.widgets.shared.bridge import ResultBridge

__all__ = ["ModelLook"]


class ModelLook:
    """Asks for exactly the pixels that the model gets, again when they are others.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where to show them.
    session : SegmentSession
        Knows what the model gets.
    bridge : ResultBridge
        Brings it back.
    told : callable
        Told the sentence where it did not work, and called with an empty one when the
        layer has come.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: SegmentSession,
        bridge: ResultBridge,
        told: Callable[[str], None],
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._bridge = bridge
        self._told = told
        self.layer = ModelViewLayer(viewer)
        self._plane: PlaneKey | None = None
        """What was asked for last."""

    @property
    def shown(self) -> bool:
        """Whether it is in the viewer."""
        return self.layer.layer is not None

    def follow(self, image: Image, state: SegmentState, source: PlaneSource) -> None:
        """Show what is seen now, where something else is shown."""
        if self.shown and state.plane != self._plane:
            self.ask(image, state, source)

    def ask(
        self,
        image: Image,
        state: SegmentState,
        source: PlaneSource,
        *,
        size_hint: float | None = None,
        tile: Tile | None = None,
    ) -> None:
        """Ask for what the model gets for these prompts, or for the middle of the view."""
        prompts = state.prompts
        if prompts.is_empty:
            centre = view_centre(self._viewer, image, state.view, source.shape)
            prompts = replace(prompts, points=(centre,), labels=(1,))
        self._plane = plane = state.plane

        def arrived(future: Future[Shown]) -> None:
            problem = complaint(future)
            if plane != self._plane:
                return
            if problem is None:
                self.layer.show(image, state.view, future.result())
            self._told(problem or "")

        self._bridge.deliver(
            self._session.model_view(source, prompts, size_hint=size_hint, tile=tile),
            arrived,
        )

    def forget(self) -> None:
        """Ask again at the next look: another model sees otherwise."""
        self._plane = None

    def close(self) -> None:
        """Hide it; what is still to come is not shown either."""
        self._plane = None
        self.layer.close()
