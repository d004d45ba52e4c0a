"""How a task goes on after an interruption: finished planes are kept until all are.

They are used again only by the same request for the same pixels and the same weights.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from napari_cellprompt.io.unfinished import Unfinished

if TYPE_CHECKING:
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter

    from .report import Report
    from .requests import EverythingRequest, PropagateRequest, SegmentRequest

    Resumable = EverythingRequest | PropagateRequest | SegmentRequest

__all__ = ["begin", "end", "name_of", "unfinished_of"]

_SCHEME = 1
"""What is kept, and how: to be raised with every change of it."""
_NO_MATTER = {"output", "device", "disk_cache", "model"}
"""Fields that do not change the result; the weights themselves are hashed."""


def unfinished_of(
    request: Resumable, image_id: str, segmenter: PlaneSegmenter
) -> Unfinished:
    """The planes of a request that are finished already.

    Parameters
    ----------
    request
        What is asked for, and where it goes.
    image_id
        Fingerprint of the pixels.
    segmenter
        With the weights.
    """
    described: dict[str, Any] = {
        "scheme": _SCHEME,
        "verb": type(request).__name__,
        "image": image_id,
        "model": segmenter.model.fingerprint,
    }
    for item in fields(request):
        if item.name not in _NO_MATTER:
            described[item.name] = _plain(getattr(request, item.name))
    return Unfinished(request.output, json.dumps(described, sort_keys=True, default=str))


def _plain(value: Any) -> Any:
    """A field as JSON; of a file, what is in it, since it may be another one tomorrow."""
    if isinstance(value, Path):
        return xxhash.xxh3_128(value.read_bytes()).hexdigest() if value.is_file() else ""
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)
    return value


def name_of(position: tuple[int, ...]) -> str:
    """The name under which a plane is kept."""
    return "plane-" + "-".join(f"{index:06d}" for index in position)


def begin(unfinished: Unfinished, report: Report) -> None:
    """Say what need not be done again."""
    if count := len(unfinished):
        report.say(f"going on: planes finished before the interruption are kept ({count})")


def end(unfinished: Unfinished, report: Report) -> None:
    """Remove what was kept, since the output is there; say where nothing could be kept."""
    if unfinished.problem is not None:
        report.say(unfinished.problem)
    unfinished.drop()
