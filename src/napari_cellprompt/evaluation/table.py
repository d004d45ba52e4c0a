"""Sums up what was measured on known objects, one row a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .objects import COLUMNS, MOST_CLICKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .everything import PlaneScore
    from .objects import ObjectScore
    from .stacks import StackScore

__all__ = ["ALL_OBJECTS", "MEAN_OF_SETS", "PROMPT_FIELDS", "WHOLE_FIELDS", "summarise"]

PROMPT_FIELDS = (*COLUMNS, "below_half", "needed", "missed", "click_ece", "box_ece")
"""What :func:`summarise` says of objects that were prompted one by one."""
WHOLE_FIELDS = ("ap50", "ap", "from_box", "from_mask", "copied")
"""What it says of whole planes and stacks."""
ALL_OBJECTS = "all objects"
MEAN_OF_SETS = "mean of the above sets"
_BINS = 10


def summarise(
    scores: Sequence[ObjectScore],
    planes: Sequence[PlaneScore] = (),
    stacks: Sequence[StackScore] = (),
) -> dict[str, dict[str, float]]:
    """Means per data set, of all objects, and of the data sets.

    Returns
    -------
    dict
        Per row, as far as it was measured: the number of ``objects`` and
        ``PROMPT_FIELDS``: mean IoU, the share of objects below IoU 0.5 after one click,
        the mean number of clicks needed and the share of objects for which they were not
        enough (where clicks were counted), and expected calibration errors;
        ``WHOLE_FIELDS``, mean
        average precision without prompts, and mean IoU of objects followed from their box,
        from their mask, and of that mask copied.
    """
    names = dict.fromkeys(
        [s.dataset for s in scores]
        + [p.dataset for p in planes]
        + [s.dataset for s in stacks]
    )
    table = {
        name: _prompted([s for s in scores if s.dataset == name])
        | _found([p for p in planes if p.dataset == name])
        | _followed([s for s in stacks if s.dataset == name])
        for name in names
    }
    if len(names) > 1:
        rows = list(table.values())
        if scores:
            table[ALL_OBJECTS] = _prompted(scores)
        table[MEAN_OF_SETS] = {
            field: float(np.mean(values))
            for field in (*PROMPT_FIELDS, *WHOLE_FIELDS)
            if (values := [row[field] for row in rows if field in row])
        }
        if scores:
            table[MEAN_OF_SETS]["objects"] = float(len(scores))
    return table


def calibration_error(believed: Sequence[float], true: Sequence[float]) -> float:
    """Expected calibration error of predicted IoU.

    The mean over ten bins of predicted IoU of the distance between the mean prediction
    and the mean truth, weighted by how many fall into each (Guo et al. 2017,
    arXiv:1706.04599, with IoU in place of accuracy).
    """
    said, was = np.asarray(believed, dtype=float), np.asarray(true, dtype=float)
    if not said.size:
        return 0.0
    bins = np.clip((said * _BINS).astype(int), 0, _BINS - 1)
    error = 0.0
    for number in np.unique(bins):
        members = bins == number
        error += members.mean() * abs(said[members].mean() - was[members].mean())
    return float(error)


def _prompted(scores: Sequence[ObjectScore]) -> dict[str, float]:
    if not scores:
        return {}
    row = {"objects": float(len(scores))}
    for field in COLUMNS:
        row[field] = _mean(scores, field)
    row["below_half"] = float(np.mean([score.click < 0.5 for score in scores]))
    needed = [score.needed for score in scores if score.needed is not None]
    if needed:
        row["needed"] = float(np.mean(np.minimum(needed, MOST_CLICKS)))
        row["missed"] = float(np.mean(np.array(needed) > MOST_CLICKS))
    for field in ("click", "box"):
        row[f"{field}_ece"] = calibration_error(
            [getattr(score, f"{field}_believed") for score in scores],
            [getattr(score, field) for score in scores],
        )
    return row


def _found(planes: Sequence[PlaneScore]) -> dict[str, float]:
    return {field: _mean(planes, field) for field in ("ap50", "ap")} if planes else {}


def _followed(stacks: Sequence[StackScore]) -> dict[str, float]:
    row = {f"from_{item.start}": item.iou for item in stacks}
    return row | {"copied": _mean(stacks, "copied")} if stacks else {}


def _mean(items: Iterable[object], field: str) -> float:
    return float(np.mean([getattr(item, field) for item in items]))
