"""Few-shot for one image of many; a worker looks at the examples once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.tasks.examples.files import label_file
from napari_cellprompt.tasks.fewshot import teach
from napari_cellprompt.tasks.inputs.reading import contrast_of, load_model_of
from napari_cellprompt.tasks.report import SILENT, Report, counted

if TYPE_CHECKING:
    from napari_cellprompt.tasks.requests import FewshotRequest

__all__ = ["run"]

_taught: dict[Any, Any] = {}


def run(request: FewshotRequest, report: Report = SILENT) -> None:
    """Label one image by examples.

    Parameters
    ----------
    request
        ``folder`` is the image, ``output`` its label TIFF.
    report
        Told what was found.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong with the image or the examples.
    """
    if not request.examples and request.bank is None:
        raise ImageError("Show what to look for: examples, or a bank of them.")
    segmenter = load_model_of(request, report)
    key: tuple[object, ...] = (
        request.model,
        request.device,
        request.examples,
        request.others,
        request.bank,
    )
    key += (request.axes, request.channel, request.series, request.contrast)
    if key not in _taught:
        _taught.clear()
        _taught[key] = teach(request, segmenter, report)
    count, notes = label_file(
        segmenter,
        request.folder,
        request.output,
        _taught[key],
        threshold=request.threshold,
        axes=request.axes,
        channel=request.channel,
        series_number=request.series,
        limits=contrast_of(request),
        cancelled=report.cancelled,
    )
    for note in notes:
        report.say(note)
    report.say(f"{counted(count)} written to {request.output}")
