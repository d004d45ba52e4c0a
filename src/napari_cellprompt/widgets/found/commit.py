"""Writes objects that were found without prompts: one undo step, the window alive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_cellprompt.core.types import Prompts
from napari_cellprompt.layers.labels.accept import region_of
from napari_cellprompt.layers.labels.commit import (
    SAME_OBJECT,
    needs_widening,
    widening_note,
)
from napari_cellprompt.layers.labels.commit_stack import PlaneMask, commit_many
from napari_cellprompt.session.objects import ObjectPlane, ObjectRecord

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from napari.layers import Labels

    from napari_cellprompt.core.types import CroppedMask
    from napari_cellprompt.layers.labels.accept import Region
    from napari_cellprompt.layers.labels.commit import CommitResult, Policy
    from napari_cellprompt.widgets.segment.undo import Steps
    from napari_cellprompt.widgets.segment.workplace import Workplace

    from .target import Target

__all__ = ["FoundCommit", "FoundMask"]


@dataclass(frozen=True, slots=True)
class FoundMask:
    """One object on one plane."""

    number: int
    """From 1 on; the same on each plane of an object."""
    plane: int
    mask: CroppedMask
    score: float = 0.0


@dataclass(slots=True)
class _Written:
    """Where an object is now."""

    region: Region
    planes: list[ObjectPlane] = field(default_factory=list)


class FoundCommit:
    """Found objects on their way into the Labels layer of their image.

    Parameters
    ----------
    place : Workplace
        Knows what happens to pixels that other objects have.
    target : Target
        The planes.
    labels : napari.layers.Labels
        Where the objects go.
    found : iterable of FoundMask
        Unpacked one at a time.
    largest : int
        The highest number among them.
    """

    def __init__(
        self,
        place: Workplace,
        target: Target,
        labels: Labels,
        found: Iterable[FoundMask],
        largest: int,
    ) -> None:
        self._place = place
        self._target = target
        self._labels = labels
        self._found = found
        self._largest = largest
        self._written: dict[int, _Written] = {}
        self._there_already: set[int] = set()
        self._name = self._widened = ""

    def work(self) -> Generator[None, None, None]:
        """Write everything; one step between yields takes a few milliseconds.

        Raises
        ------
        CellpromptError
            With a sentence, where the layer cannot take them; what was written until
            then is one step of its undo.
        """
        place, target = self._place, self._target
        acceptor, labels = place.acceptor, self._labels
        acceptor.sync(labels)
        before = labels
        first = acceptor.store(labels).next_id(acceptor.ids.largest(labels))
        if needs_widening(labels, first + self._largest - 1):
            narrow = labels
            labels, _ = acceptor.widen(narrow)
            self._widened = widening_note(narrow, labels)
        self._name, self._labels = labels.name, labels
        yield
        taken: list[FoundMask] = []
        policy: Policy = "replace" if place.overlap == "replace" else "keep"
        writing = commit_many(
            labels,
            self._entries(first, taken),
            policy,
            image=target.image,
            skip_covered=True,
        )
        try:
            for result in writing:
                self._note(labels, taken[-1], result)
                yield
        finally:
            writing.close()
            for object_id, written in self._written.items():
                record = ObjectRecord(object_id, tuple(written.planes))
                acceptor.remember(labels, record, written.region)
                acceptor.ids.know(labels, object_id)
            place.target_written(before, labels)

    def note(self, steps: Steps) -> None:
        """Make what was written the last step of a history."""
        store = self._place.acceptor.store(self._labels)
        records = [store.get(object_id) for object_id in self._written]
        steps.accepted(self._labels, [known for known in records if known is not None])

    def _entries(self, first: int, taken: list[FoundMask]) -> Iterator[PlaneMask]:
        """What is to be written; the last of ``taken`` is what was asked for last."""
        for item in self._found:
            taken[:] = [item]
            view = self._target.view_at(item.plane)
            yield PlaneMask(first + item.number - 1, view, item.mask)

    def _note(self, labels: Labels, item: FoundMask, result: CommitResult) -> None:
        if result.covered_by:
            self._there_already.add(result.object_id)
        if not result.written:
            return
        target, box = self._target, item.mask.box or (0, 0, 0, 0)
        if result.object_id not in self._written:
            view = target.view_at(item.plane)
            self._written[result.object_id] = _Written(
                region_of(labels, target.image, view, box)
            )
        key = target.planes[item.plane].key
        self._written[result.object_id].planes.append(
            ObjectPlane(key, Prompts(), item.score, result.written, box)
        )

    @property
    def message(self) -> str:
        """What was done, for the user."""
        count, skipped = len(self._written), len(self._there_already - set(self._written))
        parts = [f"{count} object{'s' * (count != 1)} in '{self._name}'."]
        if count:
            parts.append("One undo (Ctrl+Z) takes all back.")
        if skipped:
            parts.append(
                f"{skipped} {'was' if skipped == 1 else 'were'} left out: other objects "
                f"have more than {SAME_OBJECT:.0%} of the same pixels."
            )
        return " ".join([*parts, self._widened]).strip()
