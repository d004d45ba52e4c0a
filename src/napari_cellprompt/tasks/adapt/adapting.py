"""A model learns from labelled objects: one call for a notebook, or for a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.adapt.adapting import Adapted, Progress, adapt_model
from napari_cellprompt.core.adapt.lessons import Lessons, MarkedPlane
from napari_cellprompt.core.adapt.saving import write_adapted
from napari_cellprompt.core.adapt.settings import PARTS, SECONDS, AdaptSettings
from napari_cellprompt.core.errors import CheckpointError
from napari_cellprompt.core.zoo.importing import import_model
from napari_cellprompt.core.zoo.load import LoadedModel, load_model
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL, find_spec
from napari_cellprompt.io.known_sets import find_sets
from napari_cellprompt.tasks.report import SILENT, Report, counted, duration

from .marked import marked_in, marked_planes, pairs_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_cellprompt.core.adapt.settings import Parts
    from napari_cellprompt.tasks.requests import AdaptRequest

__all__ = ["adapt", "check_output", "crop_wise", "run"]


def run(request: AdaptRequest, report: Report = SILENT) -> Adapted:
    """Adapt a model to the objects of a folder, write it and import it.

    An interrupted run leaves a checkpoint beside the output; the same request goes on.

    Parameters
    ----------
    request
        Folder, model, and where the new one goes.
    report
        Told what is read, each measurement, and what came out.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    concurrent.futures.CancelledError
        Where ``report`` says so.
    """
    settings = request.settings or AdaptSettings()
    check_output(request.output)
    marked: list[MarkedPlane] = []
    names = []
    for item in find_sets(request.folder):
        planes = marked_planes(item)
        report.say(f"{item.name}: {counted(sum(_count(p) for p in planes))}")
        marked += planes
        names.append(item.name)
    loaded = crop_wise(load_model(request.model, device="cpu"))
    lessons = Lessons.divided(marked, settings, complete=not request.partial)
    report.say(
        f"{loaded.spec.name} learns from {counted(lessons.learnt)}; "
        f"{counted(len(lessons.held_out))} decide whether it is better"
    )
    checkpoint = request.output.with_name(f"{request.output.name}.checkpoint")
    if checkpoint.is_file():
        report.say(f"going on from {checkpoint}")
    with report.interruptible():
        adapted = adapt_model(
            loaded,
            lessons,
            settings,
            progress=_Teller(report, settings),
            cancelled=report.cancelled,
            checkpoint=checkpoint,
        )
    report.say(f"{adapted.steps} steps in {duration(adapted.seconds)}. {adapted.figures()}")
    if not adapted.better and not request.always:
        report.say("It is no better: nothing was written. More objects or time may help.")
        return adapted
    images = names[0] if len(names) == 1 else f"{len(names)} images of {request.folder}"
    write_adapted(adapted, request.output, settings, images=images)
    model = import_model(request.output)
    report.say(f"written to {request.output} and imported as {model.name}")
    return adapted


def adapt(
    model: str | Path | LoadedModel = DEFAULT_MODEL,
    images: Any = None,
    labels: Any = None,
    *,
    seconds: float = SECONDS,
    steps: int | None = None,
    seed: int = 0,
    parts: Parts = PARTS,
    axes: str | None = None,
    channel: int | None = None,
    partial: bool = True,
    output: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Adapted:
    """Adapt a crop-wise model to labelled objects of an image, or of several.

    Some objects (a fifth, at least three) are held out: whether clicks and boxes on these
    are answered better is in the result, with both figures.

    Parameters
    ----------
    model
        Name of a model, path of a checkpoint, or a loaded model; it stays as it is.
    images
        One image or a sequence of them: ``(H, W)``, ``(H, W, 3)``, or stacks.
    labels
        To match: 0 where there is no object. In a stack an object has one id.
    seconds
        Wall time for all of it.
    steps
        Of training, at most; default two a second. With these and ``seconds`` enough the
        result depends on ``seed`` alone.
    seed
        Chooses what is held out and what is drawn.
    parts
        ``"decoder"``, or ``"all"`` of the network.
    axes, channel
        Letters of each image's axes, and which channel to look at.
    partial
        Whether there may be objects that are not labelled.
    output
        Where to write the model, ``.safetensors``, better or not.
    progress
        Told after each step.

    Returns
    -------
    Adapted
        The new model and how good it is; ``PlaneSegmenter(result.model)`` uses it.

    Raises
    ------
    ImageError, CheckpointError
        With a sentence on what was wrong.
    """
    if output is not None:
        check_output(Path(output))
    pairs = pairs_of(images, labels)
    marked = []
    for number, (image, mask) in enumerate(pairs):
        marked += marked_in(image, mask, axes, channel, f"image {number}")
    loaded = model if isinstance(model, LoadedModel) else load_model(model, device="cpu")
    settings = AdaptSettings(seconds=seconds, steps=steps, seed=seed, parts=parts)
    lessons = Lessons.divided(marked, settings, complete=not partial)
    adapted = adapt_model(crop_wise(loaded), lessons, settings, progress=progress)
    if output is not None:
        named = "an image" if len(pairs) == 1 else f"{len(pairs)} images"
        write_adapted(adapted, Path(output), settings, images=named)
    return adapted


def crop_wise(loaded: LoadedModel) -> LoadedModel:
    """A model, if it is one that can be adapted.

    Raises
    ------
    CheckpointError
        For SAM and SAM 2.
    """
    if not loaded.spec.traits.adapts:
        raise CheckpointError(
            f"{loaded.spec.name} cannot be adapted: only crop-wise models such as "
            f"{DEFAULT_MODEL} can."
        )
    return loaded


def check_output(path: Path) -> None:
    """Find what is wrong with the file of a new model before the work.

    Raises
    ------
    CheckpointError
        With what to change.
    """
    if path.suffix != ".safetensors":
        raise CheckpointError(f"A model is written as .safetensors: got {path.name}.")
    if find_spec(path.stem) is not None:
        raise CheckpointError(
            f"{path.stem} is the name of a published model; choose another file name."
        )
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise CheckpointError(f"{path.parent} is no folder that can be written to.")


def _count(plane: MarkedPlane) -> int:
    return len(np.unique(plane.labels[plane.labels > 0]))


class _Teller:
    """Tells a report of measurements, and in between a line from time to time."""

    def __init__(self, report: Report, settings: AdaptSettings) -> None:
        self._report, self._settings = report, settings
        self._told = 0.0

    def __call__(self, progress: Progress) -> None:
        self._report.progress(round(100 * progress.share), 100)
        found = progress.judgement
        if found is not None:
            self._report.say(
                f"step {progress.step}: click {found.click:.3f}, box {found.box:.3f}, "
                f"corrections {found.corrections:.2f}"
            )
        elif progress.share - self._told >= 0.1:
            self._told = progress.share
            loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
            self._report.say(f"{progress.share:.0%}: step {progress.step}{loss}")
