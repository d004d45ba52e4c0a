"""``cellprompt evaluate``: images with known objects in, a table of IoU out."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from napari_cellprompt.core._atomic import replacing
from napari_cellprompt.core._errors import ImageError, SaveError
from napari_cellprompt.jobs.evaluate import COLUMNS, choose, evaluate, summarise
from napari_cellprompt.jobs.evaluation_data import find_sets, read_planes
from napari_cellprompt.jobs.evaluation_picture import contact_sheet

from . import segment
from .overlay import save_png

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from napari_cellprompt.jobs.evaluate import Case, KnownPlane, ManySegmenter, ObjectScore

__all__ = ["EvaluateRequest", "format_table", "run_evaluate", "write_report"]

_HEADINGS = {
    "click": "1 click",
    "clicks3": "3 clicks",
    "clicks5": "5 clicks",
    "box": "box",
    "mask": "mask",
    "ellipse": "ellipse",
    "moved": "moved",
    "click_ece": "ECE click",
    "box_ece": "ECE box",
}


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """What the command line asks for."""

    folder: Path
    output: Path
    model: str = "cellprompt-nano"
    device: str = "auto"
    limit: int | None = None
    """At most so many objects of each data set; None for all."""
    datasets: tuple[str, ...] | None = None


def run_evaluate(request: EvaluateRequest) -> None:
    """Measure, print a table, and write ``evaluation.json`` and ``evaluation.png``.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    """
    if request.limit is not None and request.limit < 1:
        raise ImageError(f"--limit must be at least 1: got {request.limit}.")
    names = None if request.datasets is None else set(request.datasets)
    sets = find_sets(request.folder, names)
    segmenter = segment.load_segmenter(request.model, request.device)
    write_report(
        segmenter,
        (read_planes(item) for item in sets),
        request.output,
        model=request.model,
        limit=request.limit,
    )


def write_report(
    segmenter: ManySegmenter,
    sets: Iterable[Sequence[KnownPlane]],
    output: Path,
    *,
    model: str,
    limit: int | None,
) -> dict[str, dict[str, float]]:
    """Measure data sets one after the other; print and write what came out.

    Parameters
    ----------
    segmenter
        What is measured.
    sets
        The planes of each data set; read one at a time.
    output
        Folder for the table with all objects (JSON) and the picture (PNG).
    model, limit
        As asked for; go into the file.

    Returns
    -------
    dict
        The table, see :func:`jobs.evaluate.summarise`.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(
            f"Cannot make the folder {output}: {error.strerror or error}."
        ) from error
    started = time.perf_counter()
    scores: list[ObjectScore] = []
    cases: list[Case] = []
    for planes in sets:
        groups = choose(planes, limit)
        scores += evaluate(segmenter, groups, progress=_say)
        cases += [case for group in groups for case in group]
    if not scores:
        raise ImageError("The labels hold no objects of at least 9 pixels.")
    table = summarise(scores)
    print(format_table(table))
    print(f"{time.perf_counter() - started:.0f} s")
    content = {
        "model": model,
        "limit": limit,
        "table": table,
        "objects": [asdict(score) for score in scores],
    }
    with replacing(output / "evaluation.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    save_png(output / "evaluation.png", contact_sheet(segmenter, cases, scores))
    return table


def format_table(table: dict[str, dict[str, float]]) -> str:
    """The table as text, one line a data set."""
    width = max(len(name) for name in table)
    fields = (*COLUMNS, "click_ece", "box_ece")
    lines = [
        " ".join((" " * width, "objects", *(f"{_HEADINGS[field]:>9}" for field in fields)))
    ]
    for name, row in table.items():
        numbers = (f"{row[field]:9.3f}" for field in fields)
        lines.append(" ".join((name.ljust(width), f"{row['objects']:7.0f}", *numbers)))
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
