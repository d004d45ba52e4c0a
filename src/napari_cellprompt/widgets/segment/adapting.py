"""Says once, in a sentence, that the model can learn from what was accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cellprompt.session.adapt import can_adapt
from napari_cellprompt.session.choices import read_choices, remember
from napari_cellprompt.session.zoo import in_background

if TYPE_CHECKING:
    from .controller import SegmentController

__all__ = ["OFFERED_FROM", "AdaptOffer"]

OFFERED_FROM = 10
"""Accepted objects."""


class AdaptOffer:
    """Counts accepted objects and tells of the button Adapt, once for good.

    Parameters
    ----------
    controller : SegmentController
        Shows the sentence behind its own.
    """

    def __init__(self, controller: SegmentController) -> None:
        self._controller = controller
        self._told = False
        self.note = ""
        """A reminder of it, until the widget was opened."""

    def look(self) -> None:
        """See whether it is time."""
        controller = self._controller
        labels, model = controller.place.chosen.labels, controller.model
        if self._told or labels is None or model is None or not can_adapt(model):
            return
        count = len(controller.place.acceptor.store(labels))
        if count < OFFERED_FROM:
            return
        self._told = True
        if not read_choices().adapt_offered:
            in_background(lambda: remember(adapt_offered=True))
            self.note = f"can learn from {count} accepted objects"
            controller.tell(
                f"{controller.status} {count} objects are accepted: with Adapt model ... a "
                "copy of the model can learn from them in a minute."
            )

    def taken(self) -> None:
        """Remind of it no longer, and do not offer it again."""
        self._told, self.note = True, ""
