"""Measures a model on images with known objects, and writes figures and a picture."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import ImageError, SaveError
from napari_cellprompt.tasks.inputs import loading
from napari_cellprompt.tasks.report import SILENT, Report

from .data import find_sets, read_set
from .everything import find_all
from .objects import evaluate, pick_cases
from .overlay import save_png
from .picture import contact_sheet
from .stacks import STARTS, score_tracks, tracks_of
from .table import summarise

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter

    from .data import KnownSet
    from .everything import PlaneScore
    from .objects import Case, ObjectScore
    from .request import EvaluateRequest
    from .stacks import StackScore

__all__ = ["Evaluation", "measure_sets", "run"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came out."""

    table: dict[str, dict[str, float]]
    """One row a data set, see :func:`.table.summarise`."""
    seconds: float
    """What measuring took."""


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
        """One row a data set, see :func:`.table.summarise`."""
        return summarise(self.objects, self.planes, self.stacks)


def run(request: EvaluateRequest, report: Report = SILENT) -> Evaluation:
    """Measure, and write ``evaluation.json`` and ``evaluation.png``.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    """
    if request.limit is not None and request.limit < 1:
        raise ImageError(f"--limit must be at least 1: got {request.limit}.")
    names = None if request.datasets is None else set(request.datasets)
    sets = find_sets(request.folder, names)
    segmenter = loading.load_segmenter(request.model, request.device)
    return measure_sets(
        segmenter,
        (read_set(item) for item in sets),
        request.output,
        model=request.model,
        limit=request.limit,
        parts=request.parts,
        report=report,
    )


def measure_sets(
    segmenter: PlaneSegmenter,
    sets: Iterable[KnownSet],
    output: Path,
    *,
    model: str,
    limit: int | None,
    parts: Iterable[str] = ("prompts",),
    count_clicks: bool = False,
    report: Report = SILENT,
) -> Evaluation:
    """Measure data sets one after the other, and write what came out.

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
    count_clicks
        Whether it is counted how many clicks an object needs.
    report
        Told what is measured.
    """
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
        _measure(segmenter, known, limit, wanted, measured, report, count_clicks)
        _write(output / "evaluation.json", measured, model, limit)
    if not measured:
        raise ImageError("The labels hold no objects of at least 9 pixels.")
    seconds = time.perf_counter() - started
    if measured.cases:
        sheet = contact_sheet(segmenter, measured.cases, measured.objects)
        save_png(output / "evaluation.png", sheet)
    return Evaluation(measured.table(), seconds)


def _measure(
    segmenter: PlaneSegmenter,
    known: KnownSet,
    limit: int | None,
    parts: set[str],
    measured: Measured,
    report: Report,
    count_clicks: bool,
) -> None:
    """Add what is measured on one data set."""
    groups = pick_cases(known.planes, limit)
    if "prompts" in parts:
        measured.objects += evaluate(
            segmenter, groups, count_clicks=count_clicks, progress=report.say
        )
        measured.cases += [case for group in groups for case in group]
    if "everything" in parts:
        for number, group in enumerate(groups, start=1):
            found = find_all(segmenter, group[0].plane)
            measured.planes.append(found)
            report.say(
                f"{found.dataset}: plane {number} without prompts, {found.found} found"
            )
    tracks = [] if known.stack is None else tracks_of(known.stack, limit)
    if "stacks" in parts and known.stack is not None and tracks:
        for start in STARTS:
            report.say(
                f"{known.stack.dataset}: following {len(tracks)} objects from the {start}"
            )
            measured.stacks.append(score_tracks(segmenter, known.stack, tracks, start))


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
