"""What became of the items of a batch, and the table of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_cellprompt.core.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Outcome", "State", "Summary", "write_report"]

State = Literal["done", "skipped", "failed", "not started"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went with one item."""

    name: str
    image: Path
    output: Path
    state: State
    reason: str = ""
    """A sentence, where it failed."""
    seconds: float = 0.0
    """On the worker."""
    attempts: int = 1
    notes: tuple[str, ...] = ()
    """Sentences on what of the file was left out, and the like."""
    disk_full: bool = False
    """Whether the others cannot be written either."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How a batch ended."""

    outcomes: tuple[Outcome, ...]
    table: Path | None
    """``report.csv``; None for one large image."""
    complete: bool
    """False where it was stopped before all items had their turn."""

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """What has no labels though it had its turn."""
        return tuple(item for item in self.outcomes if item.state == "failed")


def write_report(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write a line for each item, those that failed first.

    Raises
    ------
    SaveError
        Where it cannot be written.
    """
    rank = {"failed": 0, "not started": 1}
    ordered = sorted(outcomes, key=lambda item: rank.get(item.state, 2))
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "labels", "state", "reason", "seconds", "attempts"))
        for item in ordered:
            rows.writerow(
                (
                    item.image,
                    item.output,
                    item.state,
                    item.reason,
                    f"{item.seconds:.1f}",
                    item.attempts,
                )
            )
