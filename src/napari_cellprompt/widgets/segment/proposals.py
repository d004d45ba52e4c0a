"""The masks that are offered for what is drawn on a plane, and how far to trust them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_cellprompt.core.types import Candidate, PlaneKey, Prediction, Prompts

__all__ = ["DoubtSettings", "Proposals"]


@dataclass(frozen=True, slots=True)
class DoubtSettings:
    """From when on a mask is probably of nothing, and the user is asked before it counts.

    Chosen by ``benchmarks/doubt.py`` with the bundled model on training images of 22 kinds:
    of clicks far from all objects 0.72 are doubted, of clicks on objects whose answer is
    right 0.01, of those whose answer is wrong 0.15.
    """

    least_presence: float = 0.5
    """An object that is less probably there."""
    least_trust: float = 0.45
    """A mask with a smaller product of presence and predicted IoU."""


_DOUBT = DoubtSettings()
# Predictions kept, so that going back to a plane or a sign does not compute again.
_REMEMBERED = 16


class Proposals:
    """Answers of the model to each object on screen, and which mask of each is chosen."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[PlaneKey, Prompts], Prediction] = OrderedDict()
        self._numbers: dict[tuple[PlaneKey, Prompts], int] = {}
        self._hints: dict[tuple[PlaneKey, Prompts], float | None] = {}
        self._plane: PlaneKey | None = None
        self._objects: tuple[Prompts, ...] = ()

    # --- answers ---------------------------------------------------------------------

    def missing(
        self, plane: PlaneKey, objects: Sequence[Prompts], size_hint: float | None = None
    ) -> list[Prompts]:
        """Which objects the model has still to be asked about, with a size, each once."""
        asked = [one for one in objects if (plane, one) not in self._answers]
        self._hints.update({(plane, one): size_hint for one in asked})
        return list(dict.fromkeys(asked))

    def origin(self, plane: PlaneKey, prompts: Prompts) -> tuple[int, float | None]:
        """Which mask of an answer is chosen, and the size that it was asked with."""
        return self._numbers.get((plane, prompts), 0), self._hints.get((plane, prompts))

    def remember(self, plane: PlaneKey, prompts: Prompts, prediction: Prediction) -> None:
        """Keep an answer; the oldest that are not on screen are forgotten."""
        self._answers[plane, prompts] = prediction
        shown = {(self._plane, one) for one in self._objects}
        room = _REMEMBERED + len(shown)
        for key in list(self._answers):
            if len(self._answers) <= room:
                break
            if key not in shown and key != (plane, prompts):
                del self._answers[key]
                self._numbers.pop(key, None)
                self._hints.pop(key, None)

    def forget(self) -> None:
        """Forget all answers, as another model gives others."""
        self._answers.clear()
        self._numbers.clear()
        self._hints.clear()
        self.show(None, ())

    # --- what is shown ---------------------------------------------------------------

    def show(self, plane: PlaneKey | None, objects: Sequence[Prompts]) -> None:
        """Show the objects of a plane that have an answer; the last one is in hand."""
        known = [one for one in objects if (plane, one) in self._answers]
        self._plane, self._objects = plane, tuple(known)
        for one in known:
            if plane is not None:
                self._answers.move_to_end((plane, one))

    @property
    def shown(self) -> list[tuple[Prompts, Candidate]]:
        """Each object on screen with the mask that is chosen for it."""
        return [
            (one, self._prediction(one).candidates[self._number(one)])
            for one in self._objects
        ]

    @property
    def prediction(self) -> Prediction | None:
        """The answer for the object in hand."""
        return self._prediction(self._objects[-1]) if self._objects else None

    @property
    def number(self) -> int:
        """Which of the masks of the object in hand is chosen."""
        return self._number(self._objects[-1]) if self._objects else 0

    def next(self) -> bool:
        """Choose the next mask of the object in hand; False when there is none."""
        prediction = self.prediction
        if prediction is None or self._plane is None:
            return False
        number = (self.number + 1) % len(prediction.candidates)
        self._numbers[self._plane, self._objects[-1]] = number
        return True

    @property
    def doubt(self) -> str:
        """What is wrong with the masks on screen, as a sentence; empty when nothing is."""
        doubtful = [
            (candidate, prediction)
            for (one, candidate) in self.shown
            for prediction in (self._prediction(one),)
            if candidate.mask.box is not None and _is_doubtful(prediction, candidate)
        ]
        if not doubtful:
            return ""
        if len(self._objects) > 1:
            count = len(doubtful)
            verb = "is" if count == 1 else "are"
            return f"{count} of {len(self._objects)} masks {verb} probably of nothing."
        candidate, prediction = doubtful[0]
        return (
            f"Probably nothing is there (predicted IoU {candidate.score:.2f}, presence "
            f"{prediction.object_score:.2f})."
        )

    def advice(self, note: str) -> str:
        """What can be done with the masks on screen; ``note`` is said after that."""
        many = len(self.shown)
        if many > 1:
            text = f"{many} objects: A accepts them all, N and Q as for one."
        else:
            text = "A accepts the mask, N shows the next one, Q discards."
        return " ".join(part for part in (self.doubt, text, note) if part)

    def _prediction(self, prompts: Prompts) -> Prediction:
        if self._plane is None:
            raise RuntimeError("no plane is shown")
        return self._answers[self._plane, prompts]

    def _number(self, prompts: Prompts) -> int:
        if self._plane is None:
            return 0
        return self._numbers.get((self._plane, prompts), 0)


def _is_doubtful(prediction: Prediction, candidate: Candidate) -> bool:
    presence = prediction.object_score
    trust = presence * candidate.score
    return presence < _DOUBT.least_presence or trust < _DOUBT.least_trust
