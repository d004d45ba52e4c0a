"""What the ledger keeps of a propagation, so that it can be opened again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.session.objects import PlaneDecision, PropagationRecord

if TYPE_CHECKING:
    from napari_cellprompt.core.propagate.types import PlaneOutcome
    from napari_cellprompt.session.objects import DecisionKind

    from .review.undo import Said
    from .run import Run

__all__ = ["Followed", "trusts_of"]


def trusts_of(run: Run) -> dict[tuple[int, int], float]:
    """How far each mask can be trusted, 0 to 1, by id and plane."""
    ids = {object_id for object_id, _ in run.engine.outcomes()}
    return {
        (object_id, item.plane): item.confidence
        for object_id in ids
        for item in run.engine.confidence(object_id)
    }


class Followed:
    """Collects, plane by plane, how the objects of a run were followed.

    Parameters
    ----------
    run : Run
        The propagation.
    said : Said
        What the user said in its review.
    """

    def __init__(self, run: Run, said: Said) -> None:
        self._run = run
        self._said = said.copy()
        self._seeds = {(seed.id, seed.plane) for seed in run.seeds}
        self._decisions: dict[int, list[PlaneDecision]] = {}
        self._ends: dict[int, list[int]] = {}
        self._ids: set[int] = set()

    def note(self, outcome: PlaneOutcome) -> None:
        """Take one plane of an object into account."""
        self._ids.add(outcome.id)
        if outcome.state == "ended":
            self._ends.setdefault(outcome.id, []).append(outcome.plane)
        elif outcome.state in ("prompted", "locked") or (
            # only the user's word that it is not there has a probability of exactly 0
            outcome.state == "absent" and outcome.object_score == 0
        ):
            first = (outcome.id, outcome.plane) in self._seeds
            decision = _decision(outcome, self._said, first=first)
            self._decisions.setdefault(outcome.id, []).append(decision)

    def of(self, object_id: int) -> PropagationRecord:
        """What was noted of an object."""
        run, limits = self._run, self._run.limits
        decisions = self._decisions.get(object_id, [])
        return PropagationRecord(
            axis=run.stack.axis.axis,
            start=limits.get("start"),
            stop=limits.get("stop"),
            direction=limits.get("direction", "both"),
            decisions=tuple(sorted(decisions, key=lambda one: one.plane)),
            ends=tuple(sorted(self._ends.get(object_id, []))),
            together=tuple(sorted(self._ids)),
            settings=run.settings,
        )


def _decision(outcome: PlaneOutcome, said: Said, *, first: bool) -> PlaneDecision:
    """What was said of a plane that the user vouched for, or took the object from."""
    place = outcome.id, outcome.plane
    shown = said.shown.get(place, Prompts())
    if outcome.state == "absent":
        return PlaneDecision(outcome.plane, "absent")
    prompts = said.prompts.get(place, Prompts())
    kind: DecisionKind = "prompted" if first else "corrected"
    if outcome.state == "locked":
        kind = "locked"
        if outcome.mask is not None:
            prompts = Prompts(mask=encode(outcome.mask.to_plane()))
    return PlaneDecision(outcome.plane, kind, prompts, shown)
