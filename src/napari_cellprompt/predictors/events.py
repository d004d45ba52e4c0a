"""Functions that are called while a predictor runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["EVENTS", "Callback", "collect_callbacks"]

EVENTS = (
    "on_predict_start",
    "on_predict_batch_start",
    "on_predict_postprocess_end",
    "on_predict_end",
)

Callback = Callable[[Any], None]


def collect_callbacks(
    given: Mapping[str, Sequence[Callback]] | None,
) -> dict[str, list[Callback]]:
    """Functions of every event, by its name.

    Raises
    ------
    ValueError
        For an event that there is not.
    """
    unknown = sorted(set(given or {}) - set(EVENTS))
    if unknown:
        raise ValueError(
            f"unknown events {', '.join(unknown)}; the known ones are {', '.join(EVENTS)}."
        )
    return {event: list((given or {}).get(event, ())) for event in EVENTS}
