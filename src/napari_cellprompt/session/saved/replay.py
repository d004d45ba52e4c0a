"""From a session file to the labels that it led to, without a window.

Each decision that a model answered is asked again; the masks that were accepted are in the
file beside the questions. Where the answer is another one today, as on another processor,
the accepted mask counts and is told of: what comes out is always what was accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.io.session_file import SessionFileError, read_session
from napari_cellprompt.io.session_masks import unpack_mask
from napari_cellprompt.io.session_types import Accept, Propagate
from napari_cellprompt.session.canvas import Canvas
from napari_cellprompt.tasks.report import SILENT, counted

from .images import SavedStack, open_beside, open_image_of, plane_of, seen_by

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.core.types import CroppedMask, Prediction
    from napari_cellprompt.io.session_types import MaskEntry, ModelEntry, Session
    from napari_cellprompt.tasks.report import Report

__all__ = ["ReplayRequest", "Replayed", "replay", "run", "stored_labels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """A session is to be done again."""

    session: Path
    output: Path
    """Label TIFF."""
    image: Path | None = None
    """Its image, where it is not where it was."""
    layer: str | None = None
    """Which of several Labels layers; None: the one with the last step."""
    no_model: bool = False
    """Whether the accepted masks are taken as they are: no model, and no image."""
    device: str = "cpu"


class _Asked(Protocol):
    """What is needed of a model; ``PlaneSegmenter`` is the real one."""

    def predict(
        self, plane: PlaneSource, prompts: Any, *, size_hint: float | None = None
    ) -> Prediction: ...


@dataclass(slots=True)
class Replayed:
    """What came of it."""

    labels: list[NDArray[Any]]
    """Ids of each Labels layer of the session."""
    asked: int = 0
    """Masks that a model was asked for again."""
    differing: list[str] = field(default_factory=list)
    """Those that it answers otherwise today, in words."""


def run(request: ReplayRequest, report: Report = SILENT) -> Replayed:
    """Do a session again and write its labels.

    Raises
    ------
    CellpromptError
        Where session, image or output cannot be used; the message says why.
    """
    from napari_cellprompt.io.label_tiff import write_labels
    from napari_cellprompt.io.outputs import check_label_file

    session = read_session(request.session)
    check_label_file(request.output, (request.session, request.image))
    number = _layer_number(session, request.layer)
    _warn_of_version(session, report)
    image, beside = None, {}
    if not request.no_model:
        image = open_image_of(session, request.image, request.session.parent)
        beside = open_beside(session, request.session.parent, report)
    segmenters: dict[int, Any] = {}

    def segmenter_of(number: int) -> Any:
        if number not in segmenters:
            segmenters[number] = _load(session.models[number], request.device, report)
        return segmenters[number]

    found = replay(
        session,
        image=image,
        beside=beside,
        segmenter_of=segmenter_of,
        report=report,
    )
    layer = session.layers[number]
    axes = layer.axes or "TZCYX"[-len(layer.shape) :]
    scale = layer.scale if len(layer.scale) == len(axes) else None
    write_labels(
        request.output, found.labels[number], axes=axes, scale=scale, unit=layer.unit
    )
    if found.asked:
        same = found.asked - len(found.differing)
        report.say(
            f"{same} of {found.asked} masks are answered as before, pixel by pixel"
            + ("" if same == found.asked else "; for the others the accepted mask is taken")
        )
    ids = np.unique(found.labels[number])
    report.say(f"{counted(int((ids > 0).sum()))} written to {request.output}")
    return found


def stored_labels(session: Session) -> list[NDArray[Any]]:
    """Ids of each Labels layer, from the masks that were accepted.

    Raises
    ------
    SessionFileError
        When the session is damaged.
    """
    return replay(session).labels


def replay(
    session: Session,
    *,
    image: Any = None,
    beside: Mapping[str, Any] | None = None,
    segmenter_of: Callable[[int], Any] | None = None,
    report: Report = SILENT,
) -> Replayed:
    """Do the steps of a session again.

    Parameters
    ----------
    session
        From a file.
    image
        The array of the whole image; None: no model is asked.
    beside
        Arrays of the other images whose channels the model saw, by fingerprint. Where one
        is not there, what was made with it is taken as it was accepted.
    segmenter_of
        The model of a number in ``session.models``; None where it cannot be had.
    report
        Told of each mask that is another one today.

    Raises
    ------
    SessionFileError
        When the session is damaged.
    """
    canvas = Canvas(session.layers)
    found = Replayed(canvas.arrays)
    arrays = beside or {}
    for step in session.steps:
        if image is not None and segmenter_of is not None and _is_there(step, arrays):
            model = getattr(step, "model", None)
            segmenter = None if model is None else segmenter_of(model)
            if segmenter is not None and isinstance(step, Accept):
                _check_accept(session, image, step, segmenter, found, report, arrays)
            elif segmenter is not None and isinstance(step, Propagate):
                _check_propagation(session, image, step, segmenter, found, report, arrays)
        canvas.apply(step)
    return found


def _is_there(step: Any, beside: Mapping[str, Any]) -> bool:
    """Whether a model was asked for a step, and all channels that it saw are there."""
    plane = seen_by(step)
    if plane is None:
        return False
    others = [one.image for one in plane.channels if one.image is not None]
    return all(file.fingerprint in beside for file in others)


def _check_accept(
    session: Session,
    image: Any,
    step: Accept,
    segmenter: _Asked,
    found: Replayed,
    report: Report,
    beside: Mapping[str, Any],
) -> None:
    """Ask for the objects of an accept again, and note which are others."""
    source = plane_of(session, image, step.plane, beside)
    for one in step.objects:
        if one.candidate < 0 or one.prompts.is_empty:
            continue
        found.asked += 1
        prediction = segmenter.predict(source, one.prompts, size_hint=one.size_hint)
        answers = prediction.candidates
        mask = answers[one.candidate].mask if one.candidate < len(answers) else None
        _compare(mask, one.mask, f"object {one.id}", found, report)


def _check_propagation(
    session: Session,
    image: Any,
    step: Propagate,
    segmenter: PlaneSegmenter,
    found: Replayed,
    report: Report,
    beside: Mapping[str, Any],
) -> None:
    """Follow objects again, and note which masks are others."""
    from napari_cellprompt.core.propagate.propagator import StackPropagator

    from .records import settings_from
    from .run_log import repeat

    if not step.calls:
        return
    stack = SavedStack(session, image, step.stack, beside)
    engine = StackPropagator(segmenter, stack, settings_from(step.settings))
    try:
        complete = repeat(engine, step.calls)
    except CellpromptError as error:
        report.say(f"A propagation cannot be followed again: {error}")
        return
    if not complete:
        report.say("A propagation cannot be followed again: its accepted masks are taken.")
        return
    outcomes = engine.outcomes()
    for item in step.planes:
        outcome = outcomes.get((item.id, item.plane))
        found.asked += 1
        mask = None if outcome is None else outcome.mask
        name = f"object {item.id} on plane {item.plane}"
        _compare(mask, item.mask, name, found, report)


def _compare(
    mask: CroppedMask | None,
    entry: MaskEntry | None,
    name: str,
    found: Replayed,
    report: Report,
) -> None:
    before = None if entry is None else unpack_mask(entry)
    different = _different(mask, before)
    if different:
        text = f"{name}: {different} pixels are others today"
        found.differing.append(text)
        report.say(text)


def _different(one: CroppedMask | None, other: CroppedMask | None) -> int:
    """How many pixels two masks do not share."""
    first = set() if one is None else set(zip(*map(_numbers, one.indices()), strict=True))
    if other is None:
        return len(first)
    second = set(zip(*map(_numbers, other.indices()), strict=True))
    return len(first ^ second)


def _numbers(indices: NDArray[np.intp]) -> list[int]:
    found: list[int] = indices.tolist()
    return found


def _layer_number(session: Session, name: str | None) -> int:
    if not session.layers:
        raise SessionFileError("The session has no objects yet.")
    if name is None:
        return session.steps[-1].layer if session.steps else 0
    names = [layer.name for layer in session.layers]
    if name not in names:
        raise SessionFileError(
            f"The session has no layer '{name}': it has {', '.join(names)}."
        )
    return names.index(name)


def _warn_of_version(session: Session, report: Report) -> None:
    import napari_cellprompt

    then, now = session.program.get("cellprompt", "?"), napari_cellprompt.__version__
    if then != now:
        report.say(
            f"warning: the session was made with version {then}, this is {now}: the model "
            "may be asked otherwise"
        )


def _load(entry: ModelEntry, device: str, report: Report) -> Any:
    """The model of a session; None, with a sentence, where it is not that one."""
    from napari_cellprompt.tasks.inputs.loading import load_segmenter

    try:
        segmenter = load_segmenter(entry.name, device)
    except (CellpromptError, ValueError) as error:
        report.say(f"warning: {error} Its objects are taken as they were accepted.")
        return None
    if entry.hash and segmenter.model.fingerprint != entry.hash:
        report.say(
            f"warning: {entry.name} has other weights here than in the session: its "
            "objects are taken as they were accepted"
        )
        return None
    if entry.device != "cpu":
        report.say(
            f"warning: {entry.name} ran on {entry.device}; on a processor single pixels "
            "may be others"
        )
    return segmenter
