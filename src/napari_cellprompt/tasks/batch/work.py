"""What a worker does with one item; the model is loaded once in the life of its process."""

from __future__ import annotations

import errno
import time
from collections import deque
from typing import Any

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.tasks.inputs import loading
from napari_cellprompt.tasks.report import Report
from napari_cellprompt.tasks.requests import ModelRequest

from .job import Item
from .outcome import Outcome
from .verbs import load_by_name

__all__ = ["work"]

# keeps a loaded model between two items: tasks hold theirs only while they run
_kept: deque[Any] = deque(maxlen=1)


def work(item: Item, attempt: int = 1) -> Outcome:
    """Carry out a task for one image.

    Returns
    -------
    Outcome
        Also where the image cannot be used: it is one of many.

    Raises
    ------
    Exception
        What was not foreseen, and may go better another time.
    """
    started = time.perf_counter()
    said: list[str] = []
    try:
        _keep_model(item.request)
        load_by_name(item.run)(item.request, Report(say=said.append))
    except CellpromptError as error:
        return Outcome(
            item.name,
            item.image,
            item.output,
            "failed",
            reason=str(error),
            seconds=time.perf_counter() - started,
            attempts=attempt,
            disk_full=_is_full(error),
        )
    seconds = time.perf_counter() - started
    # the last sentence says what was written
    return Outcome(
        item.name,
        item.image,
        item.output,
        "done",
        seconds=seconds,
        attempts=attempt,
        notes=tuple(said[-1:]),
    )


def _keep_model(request: Any) -> None:
    """Load the model of a request and hold it; at once where it is loaded already."""
    if not isinstance(request, ModelRequest):
        return
    disk_bytes = round(getattr(request, "disk_cache", 0) * 10**6)
    if disk_bytes:
        model = loading.load_segmenter(request.model, request.device, disk_bytes=disk_bytes)
    else:
        model = loading.load_segmenter(request.model, request.device)
    if model not in _kept:
        _kept.append(model)


def _is_full(error: BaseException | None) -> bool:
    """Whether an error comes from a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "disk of " in str(error) and " is full" in str(error):
            return True
        error = error.__cause__
    return False
