"""Goes through a sample of objects, and tells how many were right."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.images import full_resolution
from napari_cellprompt.layers.labels.deltas import find_voxels
from napari_cellprompt.session.quality import draw, report_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.session.quality import QualityReport, QualitySample, Verdict

    from .ledger import Ledger

__all__ = ["QualityRound"]


class QualityRound:
    """One sample of objects, gone through one by one.

    Parameters
    ----------
    ledger : Ledger
        The objects.
    show : callable
        ``show(id)`` brings an object before the eyes.
    tell : callable
        ``tell(text)`` tells the user something.
    say_state : callable
        ``say_state(ids, state)`` notes a verdict, as a step of history.
    """

    changed = Signal()

    def __init__(
        self,
        ledger: Ledger,
        *,
        show: Callable[[int], None],
        tell: Callable[[str], None],
        say_state: Callable[[list[int], str], None],
    ) -> None:
        self._ledger = ledger
        self._show = show
        self._tell = tell
        self._say_state = say_state
        self.sample: QualitySample | None = None
        self._before: dict[int, NDArray[np.int64]] = {}
        """Voxels of the object that is looked at, as they were when it was shown."""

    @property
    def current(self) -> int | None:
        """The object that is looked at; None when there is none."""
        item = None if self.sample is None else self.sample.next
        return None if item is None else item.id

    def start(self, count: int, seed: int) -> None:
        """Draw objects, and show the first."""
        store = self._ledger.store
        trusts = {number: row.trust for number, row in self._ledger.rows.items()}
        try:
            self.sample = draw(
                [] if store is None else list(store), count, seed=seed, trusts=trusts
            )
        except CellpromptError as error:
            self._tell(str(error))
            return
        self._before = {}
        self._go_on()

    def judge(self, verdict: Verdict) -> None:
        """Say of the object that is looked at whether it was right."""
        number = self.current
        if self.sample is None or number is None:
            return
        iou = 1.0 if verdict == "right" else 0.0
        if verdict == "mended":
            iou = self._iou(number)
            if iou == 1.0:
                self._tell(
                    f"Object {number} is as it was: mend it first, or say that it is right."
                )
                return
        self.sample = self.sample.judged(number, verdict, iou)
        store = self._ledger.store
        if store is not None and number in store:
            self._say_state(
                [number], "needs work" if verdict == "no object" else "verified"
            )
        self._go_on()

    def report(self) -> QualityReport:
        """What is known so far.

        Raises
        ------
        CellpromptError
            Nothing was looked at yet.
        """
        if self.sample is None:
            raise CellpromptError("Draw a sample of objects first.")
        labels = self._ledger.labels
        models = sorted({item.model for item in self.sample.drawn if item.model})
        provenance = {
            "layer": "" if labels is None else labels.name,
            "shape": "" if labels is None else " x ".join(map(str, labels.data.shape)),
            "models": ", ".join(models),
            "version": f"napari-cellprompt {version('napari-cellprompt')}",
        }
        return report_of(self.sample, provenance)

    def save(self, path: Path) -> None:
        """Write the report: JSON where the name ends so, else text."""
        report = self.report()
        text = report.to_json() if path.suffix.lower() == ".json" else report.to_text()
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _go_on(self) -> None:
        number, sample = self.current, self.sample
        if sample is None:
            return
        done = sum(item.verdict is not None for item in sample.drawn)
        if number is None:
            self._tell(self.report().methods())
        else:
            labels = self._ledger.labels
            if labels is not None:
                self._before = {number: find_voxels(full_resolution(labels), [number])[0]}
            self._show(number)
            self._tell(
                f"{done + 1} of {len(sample.drawn)}: is object {number} right? If not, "
                "mend it, then press Mended."
            )
        self.changed.emit()

    def _iou(self, number: int) -> float:
        """Of the object as it was shown and as it is now."""
        labels, before = self._ledger.labels, self._before.get(number)
        if labels is None or before is None:
            return 0.0
        now = find_voxels(full_resolution(labels), [number])[0]
        both = np.intersect1d(before, now, assume_unique=True).size
        return both / max(before.size + now.size - both, 1)
