"""``cellprompt evaluate``: images with known objects in, tables of IoU out."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import ImageError, SaveError
from napari_cellprompt.tasks import loading

from .evaluate_arguments import PARTS
from .overlay import save_png

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.evaluation.data import KnownSet
    from napari_cellprompt.evaluation.everything import PlaneScore
    from napari_cellprompt.evaluation.objects import Case, ObjectScore
    from napari_cellprompt.evaluation.stacks import StackScore

__all__ = [
    "EvaluateRequest",
    "format_table",
    "run_evaluate",
    "write_report",
]

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
    "ap50": "AP50",
    "ap": "mean AP",
    "from_box": "from box",
    "from_mask": "from mask",
    "copied": "copied",
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
    parts: tuple[str, ...] = PARTS


@dataclass(slots=True)
class Measured:
    """All that was measured so far."""

    objects: list[ObjectScore] = field(default_factory=list)
    planes: list[PlaneScore] = field(default_factory=list)
    stacks: list[StackScore] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    """The objects, as ``objects`` has them."""

    def __bool__(self) -> bool:
        return bool(self.objects or self.planes or self.stacks)

    def table(self) -> dict[str, dict[str, float]]:
        """One row a data set, see :func:`evaluation.table.summarise`."""
        from napari_cellprompt.evaluation.table import summarise

        return summarise(self.objects, self.planes, self.stacks)


def run_evaluate(request: EvaluateRequest) -> None:
    """Measure, print tables, and write ``evaluation.json`` and ``evaluation.png``.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    """
    from napari_cellprompt.evaluation.data import find_sets, read_set

    if request.limit is not None and request.limit < 1:
        raise ImageError(f"--limit must be at least 1: got {request.limit}.")
    names = None if request.datasets is None else set(request.datasets)
    sets = find_sets(request.folder, names)
    segmenter = loading.load_segmenter(request.model, request.device)
    write_report(
        segmenter,
        (read_set(item) for item in sets),
        request.output,
        model=request.model,
        limit=request.limit,
        parts=request.parts,
    )


def write_report(
    segmenter: PlaneSegmenter,
    sets: Iterable[KnownSet],
    output: Path,
    *,
    model: str,
    limit: int | None,
    parts: Iterable[str] = ("prompts",),
) -> dict[str, dict[str, float]]:
    """Measure data sets one after the other; print and write what came out.

    The file is written anew after each data set: what was measured before an interruption
    stays.

    Parameters
    ----------
    segmenter
        What is measured.
    sets
        The data sets; read one at a time.
    output
        Folder for the table with all figures (JSON) and the picture (PNG).
    model, limit
        As asked for; go into the file.
    parts
        Of ``PARTS``.

    Returns
    -------
    dict
        The table, see :func:`evaluation.table.summarise`.
    """
    from napari_cellprompt.evaluation.picture import contact_sheet

    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(
            f"Cannot make the folder {output}: {error.strerror or error}."
        ) from error
    started = time.perf_counter()
    measured = Measured()
    wanted = set(parts)
    for known in sets:
        _measure(segmenter, known, limit, wanted, measured)
        _write(output / "evaluation.json", measured, model, limit)
    if not measured:
        raise ImageError("The labels hold no objects of at least 9 pixels.")
    table = measured.table()
    print(format_table(table))
    print(f"{time.perf_counter() - started:.0f} s")
    if measured.cases:
        sheet = contact_sheet(segmenter, measured.cases, measured.objects)
        save_png(output / "evaluation.png", sheet)
    return table


def _measure(
    segmenter: PlaneSegmenter,
    known: KnownSet,
    limit: int | None,
    parts: set[str],
    measured: Measured,
) -> None:
    """Add what is measured on one data set."""
    from napari_cellprompt.evaluation.everything import find_all
    from napari_cellprompt.evaluation.objects import choose, evaluate
    from napari_cellprompt.evaluation.stacks import STARTS, follow, tracks_of

    groups = choose(known.planes, limit)
    if "prompts" in parts:
        measured.objects += evaluate(segmenter, groups, progress=_say)
        measured.cases += [case for group in groups for case in group]
    if "everything" in parts:
        for number, group in enumerate(groups, start=1):
            found = find_all(segmenter, group[0].plane)
            measured.planes.append(found)
            _say(f"{found.dataset}: plane {number} without prompts, {found.found} found")
    tracks = [] if known.stack is None else tracks_of(known.stack, limit)
    if "stacks" in parts and known.stack is not None and tracks:
        for start in STARTS:
            _say(f"{known.stack.dataset}: following {len(tracks)} objects from the {start}")
            measured.stacks.append(follow(segmenter, known.stack, tracks, start))


def _write(path: Path, measured: Measured, model: str, limit: int | None) -> None:
    if not measured:
        return
    content: dict[str, Any] = {
        "model": model,
        "limit": limit,
        "table": measured.table(),
        "objects": [asdict(score) for score in measured.objects],
        "planes": [asdict(score) for score in measured.planes],
        "stacks": [asdict(score) for score in measured.stacks],
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def format_table(table: dict[str, dict[str, float]]) -> str:
    """The table as text, one line a data set; a second one for whole planes and stacks."""
    from napari_cellprompt.evaluation.table import PROMPT_FIELDS, WHOLE_FIELDS

    blocks = [
        _block(table, fields)
        for fields in (("objects", *PROMPT_FIELDS), WHOLE_FIELDS)
        if any(field in row for row in table.values() for field in fields)
    ]
    return "\n\n".join(blocks)


def _block(table: dict[str, dict[str, float]], fields: tuple[str, ...]) -> str:
    width = max(len(name) for name in table)
    headings = (f"{_HEADINGS.get(name, name):>9}" for name in fields)
    lines = [" ".join((" " * width, *headings))]
    for name, row in table.items():
        if not any(field in row for field in fields):
            continue
        numbers = (
            f"{row[field]:9.{0 if field == 'objects' else 3}f}"
            if field in row
            else f"{'-':>9}"
            for field in fields
        )
        lines.append(" ".join((name.ljust(width), *numbers)))
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
