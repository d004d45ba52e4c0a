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

from napari_cellprompt.core.errors import CellpromptError, ImageError
from napari_cellprompt.core.images.fingerprint import content_fingerprint
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.session_file import SessionFileError, read_session
from napari_cellprompt.io.session_masks import unpack_mask
from napari_cellprompt.io.session_types import Accept, Propagate
from napari_cellprompt.tasks.report import SILENT, counted

from .canvas import Canvas

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.core.types import CroppedMask, Prediction
    from napari_cellprompt.io.session_types import (
        MaskEntry,
        ModelEntry,
        PlaneEntry,
        Session,
        StackEntry,
    )
    from napari_cellprompt.tasks.report import Report

__all__ = ["ReplayRequest", "Replayed", "open_image_of", "replay", "run", "stored_labels"]


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
    image = None
    if not request.no_model:
        image = open_image_of(session, request.image, request.session.parent)
    segmenters: dict[int, Any] = {}

    def segmenter_of(number: int) -> Any:
        if number not in segmenters:
            segmenters[number] = _load(session.models[number], request.device, report)
        return segmenters[number]

    found = replay(
        session,
        image=image,
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
    for step in session.steps:
        if image is not None and segmenter_of is not None and not _is_change(step):
            model = getattr(step, "model", None)
            segmenter = None if model is None else segmenter_of(model)
            if segmenter is not None and isinstance(step, Accept):
                _check_accept(session, image, step, segmenter, found, report)
            elif segmenter is not None and isinstance(step, Propagate):
                _check_propagation(session, image, step, segmenter, found, report)
        canvas.apply(step)
    return found


def _is_change(step: Any) -> bool:
    return not isinstance(step, Accept | Propagate)


def _check_accept(
    session: Session,
    image: Any,
    step: Accept,
    segmenter: _Asked,
    found: Replayed,
    report: Report,
) -> None:
    """Ask for the objects of an accept again, and note which are others."""
    source = plane_of(session, image, step.plane)
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
) -> None:
    """Follow objects again, and note which masks are others."""
    from napari_cellprompt.core.propagate.propagator import StackPropagator

    from .run_log import repeat
    from .saved_records import settings_from

    if not step.calls:
        return
    stack = SavedStack(session, image, step.stack)
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


def plane_of(session: Session, image: Any, plane: PlaneEntry) -> PlaneSource:
    """A plane of the image, as the model saw it."""
    return PlaneSource(
        image,
        axes=plane.axes,
        index=plane.index,
        channel=plane.channel,
        channel_axis=plane.channel_axis,
        rgb=session.image.rgb and plane.channel_axis != len(session.image.shape) - 1,
        limits=plane.limits,
        image_id=session.image.fingerprint,
    )


class SavedStack:
    """The planes that objects of a session were followed through.

    Parameters
    ----------
    session, image
        With the array of the whole image.
    entry
        Which planes.
    """

    def __init__(self, session: Session, image: Any, entry: StackEntry) -> None:
        self._session, self._image, self._entry = session, image, entry
        plane = entry.plane
        used = {*plane.axes, plane.channel_axis}
        if session.image.rgb:
            used.add(len(session.image.shape) - 1)
        others = [axis for axis in range(len(session.image.shape)) if axis not in used]
        self._place = others.index(entry.axis)
        self.shape = self.plane(0).shape
        """Rows and columns of each plane."""

    @property
    def is_time(self) -> bool:
        """Whether the planes are frames of a movie."""
        return self._entry.name.lower() in ("t", "time", "frame", "frames")

    def __len__(self) -> int:
        return int(self._session.image.shape[self._entry.axis])

    def plane(self, index: int) -> PlaneSource:
        """The plane at this place along the axis."""
        from dataclasses import replace

        steps = list(self._entry.plane.index)
        steps[self._place] = index
        entry = replace(self._entry.plane, index=tuple(steps))
        return plane_of(self._session, self._image, entry)


def open_image_of(session: Session, path: Path | None, folder: Path) -> Any:
    """The array of the image of a session, which is checked to be that one.

    Parameters
    ----------
    session
        Whose image.
    path
        Where it is now; None: where it was, or beside the session file.
    folder
        Of the session file.

    Raises
    ------
    ImageError
        When there is no such file, or it is another image.
    """
    entry = session.image
    if path is None and entry.path is not None:
        there = Path(entry.path)
        path = there if there.exists() else folder / there.name
    if path is None or not path.exists():
        raise ImageError(
            f"The image of this session, '{entry.name}', is not there"
            + (f" ({entry.path})" if entry.path else ": it came without a file")
            + ". Name it with --image, or take the accepted masks with --no-model."
        )
    for data in _readings(path):
        shape = tuple(int(length) for length in data.shape)
        if shape != entry.shape and _squeezed(shape) == _squeezed(entry.shape):
            data = np.asarray(data).reshape(entry.shape)
        if tuple(data.shape) == entry.shape and (
            content_fingerprint(data) == entry.fingerprint
        ):
            return data
    raise ImageError(
        f"{path.name} is not the image of this session: its pixels are others "
        f"(wanted: {' x '.join(map(str, entry.shape))} of type {entry.dtype})."
    )


def _readings(path: Path) -> Any:
    """The array of a file, as this package and as napari read it."""
    yield read_image(path).data
    if path.suffix.lower() in (".tif", ".tiff"):
        import tifffile

        yield tifffile.imread(path)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)


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
