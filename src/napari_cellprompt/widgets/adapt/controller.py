"""Runs an adaptation beside the window, and puts its result to use if the user says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_cellprompt.core.adapt.settings import AdaptSettings
from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.session.adapt import (
    Adaptation,
    AdaptJob,
    Outcome,
    can_adapt,
    discard,
    free_name,
    keep,
)
from napari_cellprompt.session.zoo import in_background, models_changed
from napari_cellprompt.widgets.shared.bridge import ResultBridge, complaint

from .collecting import accepted_objects, collector_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from napari.components import ViewerModel

    from napari_cellprompt.widgets.segment.widget import SegmentWidget

__all__ = ["AdaptController"]


class AdaptController:
    """One adaptation at a time, of the model and to the objects of Segment.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to work in.
    segment : SegmentWidget
        Whose model and objects.
    start : callable
        Starts a job; another one in tests.
    """

    changed = Signal()
    """Something to show is not what it was."""

    def __init__(
        self,
        viewer: ViewerModel,
        segment: SegmentWidget,
        *,
        start: Callable[[AdaptJob, Callable[[float], None]], Adaptation] = Adaptation,
    ) -> None:
        self._viewer, self._segment, self._start = viewer, segment, start
        self.bridge = ResultBridge()
        self.run: Adaptation | None = None
        self.share = 0.0
        """Of the run that is over."""
        self.outcome: Outcome | None = None
        """A better model that waits for an answer."""
        self.judged: Outcome | None = None
        """The figures of the last run."""
        self.before = ""
        """The model that was in use before the adapted one."""
        self.message = ""

    @property
    def possible(self) -> bool:
        """Whether the model in use can learn; not while it is loaded."""
        model = self._segment.controller.model
        return model is not None and can_adapt(model)

    @property
    def loading(self) -> bool:
        """Whether there is no model yet."""
        return self._segment.controller.model is None

    @property
    def model(self) -> str:
        """Name of the model in use."""
        return self._segment.models.name

    @property
    def objects(self) -> int:
        """Objects there are to learn from."""
        return accepted_objects(self._segment.place)

    def start(self, settings: Mapping[str, Any]) -> None:
        """Learn from the objects of the chosen image, beside the window.

        Parameters
        ----------
        settings
            Fields of ``AdaptSettings``.
        """
        if self.run is not None:
            return
        self.not_now()
        try:
            collect = collector_of(self._viewer, self._segment.place)
        except CellpromptError as error:
            self._tell(str(error))
            return
        image = self._segment.place.chosen.image
        model = self.model
        job = AdaptJob(
            model,
            free_name(model),
            "the image" if image is None else image.name,
            collect,
            settings,
        )
        self.share, self.judged = 0.0, None
        self.run = run = self._start(job, self._progressed)
        self._tell("Reading the objects ...")
        self.bridge.deliver(run.future, lambda done: self._done(run, done))

    def cancel(self) -> None:
        """End the run; the model in use stays as it is."""
        if self.run is not None:
            self.run.cancel()
            self._tell("Stopping ...")

    def use(self) -> None:
        """Put the adapted model among the user's models, and work with it."""
        outcome = self.outcome
        if outcome is None:
            return
        self.outcome = None
        before = self.model
        self._tell(f"Taking {outcome.name} into the list of models ...")

        def kept(future: Future[str]) -> None:
            problem = complaint(future)
            if problem is not None:
                self.outcome = outcome
                self._tell(problem)
                return
            self.before = before
            models_changed.emit()
            self._segment.models.load(future.result())
            self._tell(f"{future.result()} is in use from now on. What was accepted stays.")

        self.bridge.deliver(in_background(lambda: keep(outcome)), kept)

    def not_now(self) -> None:
        """Forget the adapted model."""
        outcome, self.outcome = self.outcome, None
        if outcome is not None:
            in_background(lambda: discard(outcome))
            self._tell(f"{self.model} stays in use.")

    def back(self) -> None:
        """Work with the model before again; the adapted one stays in the list."""
        if self.before:
            name, self.before, adapted = self.before, "", self.model
            self._segment.models.load(name)
            self._tell(f"{name} is in use again; {adapted} stays in the list of models.")

    def close(self) -> None:
        """End what runs."""
        if self.run is not None:
            self.run.cancel()
        if self.outcome is not None:
            discard(self.outcome)
        self.bridge.close()

    # -- what comes from the other thread -----------------------------------------------

    def _progressed(self, share: float) -> None:
        self.bridge.post(self._advance, share)

    def _advance(self, share: float) -> None:
        if self.run is not None:
            self.share = share
            measuring = share <= 0 or share >= 1
            text = "Measuring the objects held out" if measuring else "Learning"
            self._tell(f"{text} ... go on working meanwhile.")

    def _done(self, run: Adaptation, future: Future[Outcome]) -> None:
        self.run = None
        problem = complaint(future)
        if problem is not None:
            self._tell(problem or f"Stopped: {self.model} stays as it is.")
            return
        outcome = self.judged = future.result()
        if outcome.better:
            self.outcome = outcome
            self._tell("The adapted model is better on these objects. Use it?")
            return
        in_background(lambda: discard(outcome))
        self._tell(
            f"That is no better: {self.model} stays in use. A model is "
            "offered when it needs fewer corrections, or gains "
            f"{AdaptSettings().margin} of IoU. Objects that you corrected teach most."
        )

    def _tell(self, text: str) -> None:
        self.message = text
        self.changed.emit()
