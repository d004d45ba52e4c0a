"""How good accepted objects are, from a sample that a person goes through."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cellprompt.core.errors import CellpromptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .objects import ObjectRecord

__all__ = [
    "Drawn",
    "QualityReport",
    "QualitySample",
    "Verdict",
    "draw",
    "rank_correlation",
    "report_of",
    "wilson_interval",
]

Verdict = Literal["right", "mended", "no object"]
Z95 = 1.959963984540054
"""Of a two-sided interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One object of the sample."""

    id: int
    class_name: str = ""
    trust: float | None = None
    """Before anybody looked, 0 to 1; None where nothing was known."""
    model: str = ""
    source: str = ""
    verdict: Verdict | None = None
    """None: not looked at yet."""
    iou: float | None = None
    """Of the mask as it was with the mask that the person left: 1 for ``right``, 0 for
    ``no object``, None before there is a verdict."""


@dataclass(frozen=True, slots=True)
class QualitySample:
    """Objects drawn at random, in the order in which they are gone through."""

    drawn: tuple[Drawn, ...]
    population: int
    """Objects that there were to draw from."""
    seed: int

    def judged(self, object_id: int, verdict: Verdict, iou: float) -> QualitySample:
        """The sample with a verdict on one object.

        Raises
        ------
        CellpromptError
            When the object is not in the sample, or the IoU is none.
        """
        if not 0 <= iou <= 1:
            raise CellpromptError(f"An IoU must lie in 0 to 1: got {iou}.")
        if all(item.id != object_id for item in self.drawn):
            raise CellpromptError(f"Object {object_id} is not in the sample.")
        drawn = tuple(
            replace(item, verdict=verdict, iou=iou) if item.id == object_id else item
            for item in self.drawn
        )
        return replace(self, drawn=drawn)

    @property
    def next(self) -> Drawn | None:
        """The first object without a verdict; None when all have one."""
        return next((item for item in self.drawn if item.verdict is None), None)


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What a sample says of all objects."""

    sample: QualitySample
    looked_at: int
    right: int
    share_right: float
    """``right / looked_at``."""
    interval: tuple[float, float]
    """Of ``share_right``, 95 %, after Wilson."""
    mean_iou: float
    agreement: float | None
    """Rank correlation of trust with IoU, -1 to 1; None where it cannot be told."""
    by_class: dict[str, tuple[int, int]]
    """Objects looked at and right ones for each class."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Image, layer, version and the like."""

    def methods(self) -> str:
        """A sentence for a methods section."""
        low, high = self.interval
        text = (
            f"Of {self.sample.population} segmented objects, {self.looked_at} drawn at "
            f"random (seed {self.sample.seed}{', by class' * (len(self.by_class) > 1)}) "
            f"were inspected by a person: {self.right} ({self.share_right:.0%}, 95 % "
            f"Wilson interval {low:.0%} to {high:.0%}) were right as they were, and the "
            f"mean IoU of the masks before and after mending was {self.mean_iou:.2f}"
        )
        if self.agreement is not None:
            text += (
                "; the rank correlation of the predicted trust with that IoU was "
                f"{self.agreement:.2f}"
            )
        return text + "."

    def to_text(self) -> str:
        """The report for people."""
        lines = [self.methods(), ""]
        for name, (count, right) in sorted(self.by_class.items()):
            low, high = wilson_interval(right, count)
            lines.append(
                f"{name or 'no class'}: {right} of {count} right ({low:.0%} to {high:.0%})"
            )
        lines += ["", "object  class  trust  verdict  IoU"]
        for item in self.sample.drawn:
            if item.verdict is None or item.iou is None:
                continue
            trust = "-" if item.trust is None else f"{item.trust:.2f}"
            lines.append(
                f"{item.id}  {item.class_name or '-'}  {trust}  {item.verdict}  "
                f"{item.iou:.3f}"
            )
        lines += ["", *(f"{key}: {value}" for key, value in self.provenance.items())]
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """The report for programs."""
        values: dict[str, Any] = {
            "schema": "napari-cellprompt/quality/1",
            "population": self.sample.population,
            "seed": self.sample.seed,
            "looked_at": self.looked_at,
            "right": self.right,
            "share_right": self.share_right,
            "share_right_wilson_95": list(self.interval),
            "mean_iou": self.mean_iou,
            "trust_rank_correlation": self.agreement,
            "by_class": {
                name: {"looked_at": count, "right": right}
                for name, (count, right) in self.by_class.items()
            },
            "objects": [
                {
                    "id": item.id,
                    "class": item.class_name,
                    "trust": item.trust,
                    "model": item.model,
                    "source": item.source,
                    "verdict": item.verdict,
                    "iou": item.iou,
                }
                for item in self.sample.drawn
            ],
            "methods": self.methods(),
            "provenance": self.provenance,
        }
        return json.dumps(values, indent=1) + "\n"


def draw(
    records: Sequence[ObjectRecord],
    count: int = 30,
    *,
    seed: int = 0,
    trusts: dict[int, float | None] | None = None,
) -> QualitySample:
    """Draw objects at random, without replacement.

    Where there are classes each gets its share of the sample, at least one object. The
    order is random too: whoever stops early has a random sample all the same.

    Parameters
    ----------
    records
        To draw from; drafts are left out.
    count
        Size of the sample, at most.
    seed
        The sample of a seed is always the same.
    trusts
        Of each id, where more is known than the records say.

    Raises
    ------
    CellpromptError
        When there is nothing to draw from.
    """
    known = sorted((r for r in records if r.state != "draft"), key=lambda r: r.id)
    if not known or count < 1:
        raise CellpromptError("There is no accepted object to draw: accept some first.")
    generator = np.random.default_rng(seed)
    groups: dict[str, list[ObjectRecord]] = {}
    for record in known:
        groups.setdefault(record.class_name, []).append(record)
    chosen: list[ObjectRecord] = []
    shares = _shares({name: len(group) for name, group in groups.items()}, count)
    for name in sorted(groups):
        picks = generator.choice(len(groups[name]), shares[name], replace=False)
        chosen += [groups[name][int(pick)] for pick in picks]
    order = generator.permutation(len(chosen))
    trusts = trusts or {}
    drawn = tuple(
        Drawn(
            record.id,
            record.class_name,
            trusts.get(record.id, record.trust),
            record.model,
            record.source,
        )
        for record in (chosen[int(place)] for place in order)
    )
    return QualitySample(drawn, len(known), seed)


def _shares(sizes: dict[str, int], count: int) -> dict[str, int]:
    """Parts of a sample by class: in proportion, at least one each, largest rest first."""
    total = sum(sizes.values())
    count = min(count, total)
    if count < len(sizes):
        largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:count]
        return {name: int(name in largest) for name in sizes}
    wanted = {name: count * size / total for name, size in sizes.items()}
    shares = {name: max(1, math.floor(value)) for name, value in wanted.items()}
    while sum(shares.values()) != count:
        step = 1 if sum(shares.values()) < count else -1
        able = [n for n in sizes if (shares[n] < sizes[n] if step > 0 else shares[n] > 1)]
        pick = max(able, key=lambda name: (step * (wanted[name] - shares[name]), name))
        shares[pick] += step
    return shares


def report_of(
    sample: QualitySample, provenance: dict[str, str] | None = None
) -> QualityReport:
    """What the objects that were looked at say of all.

    Raises
    ------
    CellpromptError
        When none was looked at yet.
    """
    seen = [item for item in sample.drawn if item.verdict is not None]
    if not seen:
        raise CellpromptError("No object of the sample was looked at yet.")
    ious = np.array([0.0 if item.iou is None else item.iou for item in seen])
    right = sum(item.verdict == "right" for item in seen)
    by_class: dict[str, tuple[int, int]] = {}
    for item in seen:
        count, good = by_class.get(item.class_name, (0, 0))
        by_class[item.class_name] = count + 1, good + (item.verdict == "right")
    pairs = [
        (item.trust, iou)
        for item, iou in zip(seen, ious, strict=True)
        if item.trust is not None
    ]
    return QualityReport(
        sample,
        len(seen),
        right,
        right / len(seen),
        wilson_interval(right, len(seen)),
        float(ious.mean()),
        rank_correlation([p[0] for p in pairs], [float(p[1]) for p in pairs]),
        by_class,
        {"date": datetime.now(UTC).isoformat(timespec="seconds"), **(provenance or {})},
    )


def wilson_interval(right: int, count: int, z: float = Z95) -> tuple[float, float]:
    """Interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22, 209-212).

    Parameters
    ----------
    right, count
        ``right`` out of ``count``, which is at least 1.
    z
        Quantile of the normal distribution; that of 95 % by default.
    """
    if not 0 <= right <= count or count < 1:
        raise CellpromptError(f"There is no share of {right} out of {count}.")
    share, square = right / count, z * z
    middle = share + square / (2 * count)
    reach = z * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    whole = 1 + square / count
    return max(0.0, (middle - reach) / whole), min(1.0, (middle + reach) / whole)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties with their mean rank.

    None for fewer than three pairs, and where one of both never changes.
    """
    if len(first) < 3:
        return None
    ranks = [_ranks(np.asarray(values, dtype=float)) for values in (first, second)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: Any) -> Any:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]
