"""One simulated and one real image that come along, from prompts to labels."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_cellprompt import _sample_data
from napari_cellprompt.core.errors import SaveError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.masks.labels import resolve_overlaps
from napari_cellprompt.core.masks.simulated import iou
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.io.label_tiff import write_labels
from napari_cellprompt.tasks.inputs import loading
from napari_cellprompt.tasks.report import SILENT, Report, counted

from .overlay import draw_overlay, save_png

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.tasks.requests import ModelRequest

    from .objects import ManySegmenter

__all__ = ["inner_points", "run"]

# In scikit-image's cell.png: a click on the cell, and a box drawn around it by hand.
_CELL = (
    Prompts(points=((428.0, 374.0),), labels=(1,)),
    Prompts(box=(360.0, 306.0, 497.0, 442.0)),
)
_REPEATS = 5


@dataclass(frozen=True, slots=True)
class _Case:
    """One image with one kind of prompt."""

    file: str
    title: str
    image: NDArray[Any]
    pixel: float
    prompts: tuple[Prompts, ...]
    truth: NDArray[Any] | None = None


def run(request: ModelRequest, folder: Path, report: Report = SILENT) -> None:
    """Segment, tell quality and timings, and write labels and pictures to ``folder``.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(
            f"Cannot make the folder {folder}: {error.strerror or error}."
        ) from error
    started = time.perf_counter()
    segmenter = loading.load_segmenter(request.model, request.device)
    report.say(f"model {request.model}: loaded in {time.perf_counter() - started:.2f} s")
    cases = _cases()
    _say_click_times(segmenter, cases[0], report)
    for case in cases:
        _run_case(segmenter, case, folder, report)
    report.say(
        f"\nLabels and pictures are in {folder}. To see the same in napari:\n"
        f"  napari -w napari-cellprompt Segment\n"
        f"then File > Open Sample > Cellprompt > 'Nuclei, one plane (simulated)', click a\n"
        f"nucleus, and accept; File > Open shows {folder / cases[0].file}_labels.tif."
    )


def inner_points(labels: NDArray[Any]) -> dict[int, tuple[float, float]]:
    """Return for each id the point ``(x, y)`` of its object farthest from its border.

    Parameters
    ----------
    labels
        ``(H, W)`` integer, 0 = background.
    """
    points: dict[int, tuple[float, float]] = {}
    for index, part in enumerate(ndimage.find_objects(labels), start=1):
        if part is None:
            continue
        # A border of background makes the sides of the cut-out count as border.
        distance = ndimage.distance_transform_edt(np.pad(labels[part] == index, 1))
        y, x = np.unravel_index(int(distance.argmax()), distance.shape)
        points[index] = (float(x - 1 + part[1].start), float(y - 1 + part[0].start))
    return points


def _cases() -> list[_Case]:
    nuclei = _sample_data.nuclei_2d()[0][0]
    truth = _sample_data.nuclei_2d_truth()[0][0]
    cell = _sample_data.phase_cell()[0][0]
    clicks = tuple(
        Prompts(points=(point,), labels=(1,)) for point in inner_points(truth).values()
    )
    boxes = tuple(
        Prompts(
            box=(
                float(part[1].start),
                float(part[0].start),
                float(part[1].stop),
                float(part[0].stop),
            )
        )
        for part in ndimage.find_objects(truth)
        if part is not None
    )
    return [
        _Case(
            "nuclei_clicks",
            "simulated nuclei, one click each",
            nuclei,
            0.325,
            clicks,
            truth,
        ),
        _Case(
            "nuclei_boxes", "simulated nuclei, one box each", nuclei, 0.325, boxes, truth
        ),
        _Case(
            "cell_click", "cell in quantitative phase, one click", cell, 0.107, _CELL[:1]
        ),
        _Case("cell_box", "cell in quantitative phase, one box", cell, 0.107, _CELL[1:]),
    ]


def _say_click_times(segmenter: ManySegmenter, case: _Case, report: Report) -> None:
    """The first click computes features; later ones nearby find them in the cache."""
    plane = PlaneSource.from_image(case.image, "auto")
    times = []
    for _ in range(1 + _REPEATS):
        started = time.perf_counter()
        segmenter.predict_many(plane, case.prompts[:1])
        times.append((time.perf_counter() - started) * 1000)
    report.say(
        f"first click: {times[0]:.0f} ms, with features cached: "
        f"{statistics.median(times[1:]):.0f} ms (median of {_REPEATS})"
    )


def _run_case(segmenter: ManySegmenter, case: _Case, folder: Path, report: Report) -> None:
    plane = PlaneSource.from_image(case.image, "auto")
    started = time.perf_counter()
    found = segmenter.predict_many(plane, case.prompts)
    elapsed = time.perf_counter() - started
    line = f"{case.title}: {counted(len(found))} in {elapsed:.1f} s"
    if case.truth is None:
        areas = ", ".join(f"{item.best.mask.area}" for item in found)
        line += f", area {areas} pixels, predicted IoU {found[0].best.score:.2f}"
    else:
        ids = [int(index) for index in np.unique(case.truth) if index]
        scores = [
            iou(item.best.mask, case.truth == index)
            for item, index in zip(found, ids, strict=True)
        ]
        good = sum(score >= 0.5 for score in scores)
        line += f", mean IoU {statistics.mean(scores):.2f}, {good} of them >= 0.5"
    report.say(line)
    labels = resolve_overlaps(
        [item.best for item in found], list(range(1, len(found) + 1)), plane.shape
    )
    write_labels(
        folder / f"{case.file}_labels.tif",
        labels,
        axes="YX",
        scale=(case.pixel, case.pixel),
        unit="um",
    )
    seen = plane.read(0, plane.shape[0], 0, plane.shape[1])
    save_png(folder / f"{case.file}.png", draw_overlay(seen, labels, case.prompts))
