"""One user's interactive segmentation: a model and the requests to it.

Everything slow (reading pixels, loading weights, running networks) happens on the
inference thread; the methods here only queue it and return futures.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from napari_cellprompt.core.errors import CellpromptError, ImageError, OutOfMemoryError
from napari_cellprompt.tasks.inputs import loading

from .choices import remember
from .thread import InferenceThread, JobContext, Priority, shared_thread

if TYPE_CHECKING:
    from concurrent.futures import Future

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.inference.model import Model, Shown
    from napari_cellprompt.core.types import PlaneKey, Prediction, Prompts, Tile

__all__ = [
    "ChannelQuestion",
    "LoadedSegmenter",
    "SegmentSession",
    "Segmenter",
    "load_for_session",
]

T = TypeVar("T")

_MOST_CHECKED = 10_000
"""Planes that are known to hold something, before that is forgotten."""


class Segmenter(Protocol):
    """What the session needs of a model; ``PlaneSegmenter`` is the real one."""

    @property
    def model(self) -> Model:
        """What answers."""

    def predict(
        self,
        plane: PlaneSource,
        prompts: Prompts,
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Prediction:
        """Masks of one object."""

    def predict_many(
        self,
        plane: PlaneSource,
        prompts: Sequence[Prompts],
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Prediction]:
        """Masks of several objects, together where that is faster."""

    def prepare(
        self,
        plane: PlaneSource,
        xy: tuple[float, float],
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Compute the features around a place ahead of time."""


@dataclass(frozen=True, slots=True, eq=False)
class ChannelQuestion:
    """A channel whose grey values are to be known."""

    data: Any
    """The whole image or stack."""
    low: float
    high: float
    """Percentiles."""
    channel_axis: int | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class LoadedSegmenter:
    """A model that is ready, and what to tell the user about it."""

    segmenter: Segmenter
    name: str
    device: str


_MOVED = "The GPU has no memory left: the model runs on the processor from now on."

SegmenterLoader = Callable[[str, str, int], LoadedSegmenter]


def load_for_session(
    name: str, device: str, cache_bytes: int, *, disk_bytes: int = 0
) -> LoadedSegmenter:
    """Load a model for the inference thread; arguments and errors of ``load_segmenter``.

    Sessions of several viewers share a model as long as one of them uses it.
    """
    segmenter = loading.load_segmenter(
        name, device, cache_bytes=cache_bytes, disk_bytes=disk_bytes
    )
    return LoadedSegmenter(segmenter, segmenter.model.name, segmenter.model.device)


class SegmentSession:
    """Queues what one viewer asks of one model.

    Parameters
    ----------
    thread : InferenceThread, optional
        The process' shared thread when left out.
    loader : callable, optional
        ``loader(name, device, cache_bytes)``, run on the inference thread.
    cache_bytes : int
        Budget for the features of visited tiles.
    disk_bytes : int
        Budget for features in files, which outlive the process; 0 for none.
    """

    _numbers = itertools.count()

    def __init__(
        self,
        *,
        thread: InferenceThread | None = None,
        loader: SegmenterLoader | None = None,
        cache_bytes: int = 1 << 30,
        disk_bytes: int = 0,
    ) -> None:
        self._given_thread = thread
        self._loader = loader or partial(load_for_session, disk_bytes=disk_bytes)
        self._cache_bytes = cache_bytes
        self._loaded: LoadedSegmenter | None = None
        self._load_error: CellpromptError | None = None
        self._asked_for = ""
        self._generations = itertools.count(1)
        self._checked: set[PlaneKey] = set()
        self._number = next(self._numbers)

    @property
    def thread(self) -> InferenceThread:
        """Where the work is done."""
        return self._given_thread or shared_thread()

    def load_model(self, name: str, device: str = "auto") -> Future[LoadedSegmenter]:
        """Replace the model; requests made after this call use the new one."""

        def job(context: JobContext) -> LoadedSegmenter:
            self._loaded = None
            self._load_error = None
            self._asked_for = name
            try:
                self._loaded = self._loader(name, device, self._cache_bytes)
            except CellpromptError as error:
                self._load_error = error
                raise
            remember(model=name)
            return self._loaded

        return self._submit(job, "load", Priority.CLICK)

    def predict(
        self, plane: PlaneSource, prompts: Prompts, *, size_hint: float | None = None
    ) -> Future[Prediction]:
        """Masks for one object; a newer call makes an older one stale.

        Parameters
        ----------
        plane : PlaneSource
            Where the object is.
        prompts : Prompts
            Not empty, in pixels of the plane.
        size_hint : float, optional
            Expected longest side of the object in pixels.
        """

        def job(context: JobContext) -> Prediction:
            self._check(plane)
            return self._segmenter().predict(
                plane, prompts, size_hint=size_hint, cancelled=context.cancelled
            )

        return self._submit(self._again_on_cpu(job), "predict", Priority.CLICK)

    def predict_all(
        self,
        plane: PlaneSource,
        objects: Sequence[Prompts],
        *,
        size_hint: float | None = None,
    ) -> Future[list[Prediction]]:
        """Masks for several objects of a plane, as ``predict`` gives them for one."""

        def job(context: JobContext) -> list[Prediction]:
            self._check(plane)
            segmenter = self._segmenter()
            if len(objects) == 1:
                one = segmenter.predict(
                    plane, objects[0], size_hint=size_hint, cancelled=context.cancelled
                )
                return [one]
            return segmenter.predict_many(
                plane, objects, size_hint=size_hint, cancelled=context.cancelled
            )

        return self._submit(self._again_on_cpu(job), "predict", Priority.CLICK)

    def prepare(
        self,
        plane: PlaneSource,
        xy: tuple[float, float],
        *,
        size_hint: float | None = None,
    ) -> Future[None]:
        """Compute features around ``xy`` when there is nothing better to do."""

        def job(context: JobContext) -> None:
            if not context.cancelled():
                self._segmenter().prepare(
                    plane, xy, size_hint=size_hint, cancelled=context.cancelled
                )

        return self._submit(job, "prepare", Priority.PRECOMPUTE)

    def model_view(
        self,
        plane: PlaneSource,
        prompts: Prompts,
        *,
        size_hint: float | None = None,
        tile: Tile | None = None,
    ) -> Future[Shown]:
        """Exactly the pixels that the network gets: of a tile, or for these prompts."""

        def job(context: JobContext) -> Shown:
            seen = prompts if tile is None else tile
            return self._segmenter().model.show(plane, seen, size_hint=size_hint)

        return self._submit(job, "view", Priority.CLICK)

    def percentile_limits(
        self,
        data: Any,
        low: float,
        high: float,
        *,
        channel_axis: int | None = None,
        channel: int | None = None,
    ) -> Future[tuple[float, float]]:
        """Grey values at two percentiles of a whole image or stack, sampled lazily."""

        def job(context: JobContext) -> tuple[float, float]:
            from napari_cellprompt.core.images.contrast import percentile_limits

            return percentile_limits(
                data, low, high, channel_axis=channel_axis, channel=channel
            )

        return self._submit(job, "limits", Priority.CLICK)

    def look_at_channels(
        self, asked: Sequence[ChannelQuestion], files: Sequence[Any] = ()
    ) -> Future[tuple[list[tuple[float, float]], list[str]]]:
        """Grey values of channels at two percentiles each, and fingerprints of images.

        Parameters
        ----------
        asked
            Channels, over the whole image or stack; sampled lazily.
        files
            Arrays whose ``content_fingerprint`` is wanted.
        """

        def job(context: JobContext) -> tuple[list[tuple[float, float]], list[str]]:
            from napari_cellprompt.core.images.contrast import percentile_limits
            from napari_cellprompt.core.images.fingerprint import content_fingerprint

            limits = [
                percentile_limits(
                    one.data,
                    one.low,
                    one.high,
                    channel_axis=one.channel_axis,
                    channel=one.channel,
                )
                for one in asked
            ]
            return limits, [content_fingerprint(data) for data in files]

        return self._submit(job, "channels", Priority.CLICK)

    def submit(
        self,
        job: Callable[[Segmenter, JobContext], T],
        *,
        kind: str,
        priority: Priority = Priority.CLICK,
    ) -> Future[T]:
        """Run something else with the model, on its thread.

        Parameters
        ----------
        job : callable
            Called with the model that is loaded by then.
        kind : str
            A newer job of the same kind makes an older one stale.
        priority : Priority
            Which jobs go first.
        """

        def run(context: JobContext) -> T:
            return job(self._segmenter(), context)

        # what a job has done before memory ended is not known: it is not run again
        return self._submit(self._again_on_cpu(run, retry=False), kind, priority)

    def models_on_disk(self) -> Future[list[str]]:
        """Names of the models that can be loaded without a download."""

        def job(context: JobContext) -> list[str]:
            from napari_cellprompt.core.zoo.user_models import models_here

            return models_here()

        return self._submit(job, "models", Priority.PRECOMPUTE)

    def forget_requests(self) -> None:
        """Make everything asked so far stale, except the loading of the model."""
        for kind in ("predict", "prepare", "view", "limits", "channels"):
            self.thread.cancel(self._group(kind))

    def close(self) -> None:
        """Drop every request and let go of the model."""
        self.forget_requests()
        for kind in ("load", "models"):
            self.thread.cancel(self._group(kind))
        self._loaded = None

    def _again_on_cpu(
        self, job: Callable[[JobContext], T], *, retry: bool = True
    ) -> Callable[[JobContext], T]:
        """The job, and what happens when the GPU's memory ends: the processor goes on."""

        def guarded(context: JobContext) -> T:
            try:
                return job(context)
            except (CellpromptError, RuntimeError, MemoryError) as error:
                from napari_cellprompt.core.inference.out_of_memory import (
                    is_out_of_memory,
                    out_of_memory,
                )

                if not is_out_of_memory(error):
                    raise
                if self._loaded is None or self._loaded.device == "cpu":
                    raise out_of_memory() from error
                failed = error
            self._move_to_cpu()
            if not retry:
                raise OutOfMemoryError(_MOVED + " Please try again.") from failed
            return job(context)

        return guarded

    def _move_to_cpu(self) -> None:
        """Load the model once more, where there is more memory."""
        before = self._loaded
        if before is None:
            raise RuntimeError("no model to move")
        self._loaded = None
        name = self._asked_for or before.name
        try:
            self._loaded = self._loader(name, "cpu", self._cache_bytes)
        except CellpromptError as error:
            self._load_error = error
            raise
        # napari shows it as a notification, the terminal as a line
        warnings.warn(_MOVED, RuntimeWarning, stacklevel=2)

    def _check(self, plane: PlaneSource) -> None:
        """Raise ``ImageError`` where a plane holds nothing; each plane is read once."""
        if plane.key not in self._checked:
            plane.check_finite()
            if len(self._checked) >= _MOST_CHECKED:
                self._checked.clear()
            self._checked.add(plane.key)

    def _segmenter(self) -> Segmenter:
        if self._loaded is None:
            if self._load_error is not None:
                raise self._load_error
            raise ImageError("No model is loaded yet.")
        return self._loaded.segmenter

    def _group(self, kind: str) -> str:
        return f"segment-{self._number}-{kind}"

    def _submit(
        self, job: Callable[[JobContext], T], kind: str, priority: Priority
    ) -> Future[T]:
        return self.thread.submit(
            job,
            generation=next(self._generations),
            group=self._group(kind),
            priority=priority,
        )
