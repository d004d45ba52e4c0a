"""From a model and accepted objects to a model that suits them better, or to a sentence."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import CheckpointError
from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.inference.fingerprint import model_fingerprint

from .judging import Judgement, is_better, judge
from .learning import Learner
from .settings import AdaptSettings

if TYPE_CHECKING:
    from napari_cellprompt.core.zoo.load import LoadedModel

    from .lessons import Lessons

__all__ = ["Adapted", "Progress", "adapt_model"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an adaptation is."""

    step: int
    share: float
    """Of the run, 0 to 1."""
    loss: float | None = None
    judgement: Judgement | None = None
    """Where the model was just measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """What came out."""

    model: LoadedModel
    """The adapted model, whether it is better or not."""
    before: Judgement
    after: Judgement
    """On the held-out objects."""
    better: bool
    """Whether it is worth being used."""
    steps: int
    seconds: float
    learnt: int
    """Objects that were learnt from."""
    curve: list[dict[str, Any]] = field(default_factory=list)
    """Steps, seconds and figures of each measurement on the way."""

    def figures(self) -> str:
        """Both figures in a sentence."""
        before, after = self.before, self.after
        return (
            f"On {after.objects} objects that it has not learnt from: IoU of a click "
            f"{before.click:.2f} before, {after.click:.2f} now; of a box {before.box:.2f}, "
            f"{after.box:.2f}; corrections for each object {before.corrections:.1f}, "
            f"{after.corrections:.1f}."
        )


def adapt_model(
    loaded: LoadedModel,
    lessons: Lessons,
    settings: AdaptSettings,
    *,
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    checkpoint: Path | None = None,
) -> Adapted:
    """Train a copy of a model on accepted objects and measure it on those held out.

    Parameters
    ----------
    loaded
        A crop-wise model on the processor; it stays as it is.
    lessons
        Objects to learn from, and those held out.
    settings
        How long and how.
    progress
        Told at the beginning, after each step and after each measurement.
    cancelled
        Asked before each step.
    checkpoint
        A file from which a run that was interrupted goes on; removed at the end.

    Raises
    ------
    CheckpointError
        For a model that is not crop-wise, or a checkpoint of another run.
    concurrent.futures.CancelledError
        Where ``cancelled`` said so; the checkpoint stays.
    """
    return _Run(loaded, lessons, settings, progress, cancelled, checkpoint).run()


class _Run:
    def __init__(
        self,
        loaded: LoadedModel,
        lessons: Lessons,
        settings: AdaptSettings,
        progress: Callable[[Progress], None] | None,
        cancelled: Callable[[], bool] | None,
        checkpoint: Path | None,
    ) -> None:
        self.loaded, self.lessons, self.settings = loaded, lessons, settings
        self.told, self.cancelled, self.checkpoint = progress, cancelled, checkpoint
        self.learner = Learner(loaded, lessons, settings)
        self.began = time.monotonic()
        self.step, self.judging = 0, 0.0
        self.curve: list[dict[str, Any]] = []
        self.best: tuple[Judgement, dict[str, torch.Tensor]] | None = None
        self.key = (
            f"{model_fingerprint(loaded)} {lessons.digest} {settings.seed} {settings.parts}"
        )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def share(self, reserved: float) -> float:
        """Of the run that is over, by steps or by time, whichever is further."""
        by_time = self.seconds / max(self.settings.seconds - reserved, 1e-3)
        return min(max(self.step / self.settings.most_steps, by_time), 1.0)

    def run(self) -> Adapted:
        before = self._resumed()
        if before is None:
            started = time.monotonic()
            if self.told is not None:
                self.told(Progress(0, 0.0))
            before = judge(
                self.loaded, self.lessons.held_out, self.settings, self.cancelled
            )
            self.judging = time.monotonic() - started
            self._note(before)
            self._tell(judgement=before)
        try:
            self._train(before)
        except CancelledError:
            self._save(before)
            raise
        if self.best is None:
            raise ValueError("the end was not measured")
        after, state = self.best
        if self.checkpoint is not None:
            self.checkpoint.unlink(missing_ok=True)
        return Adapted(
            self._loaded(state),
            before,
            after,
            is_better(before, after, self.settings),
            self.step,
            self.seconds,
            self.lessons.learnt,
            self.curve,
        )

    def _train(self, before: Judgement) -> None:
        checked = saved = time.monotonic()
        while (share := self.share(self.judging)) < 1:
            stop_if(self.cancelled)
            loss = self.learner.step(self.step, share)
            self.step += 1
            self._tell(loss=loss)
            now = time.monotonic()
            if now - saved > self.settings.seconds_between_checkpoints:
                self._save(before)
                saved = now
            if now - checked > self.settings.seconds_between_checks:
                self._check()
                checked = time.monotonic()
        self._check()

    def _loaded(self, state: dict[str, torch.Tensor]) -> LoadedModel:
        return replace(self.loaded, network=self.learner.network_of(state))

    def _check(self) -> None:
        """Measure, and keep the best state."""
        state = self.learner.state()
        found = judge(
            self._loaded(state), self.lessons.held_out, self.settings, self.cancelled
        )
        self._note(found)
        self._tell(judgement=found)
        if self.best is None or _merit(found) > _merit(self.best[0]):
            self.best = (found, state)

    def _note(self, found: Judgement) -> None:
        self.curve.append(
            {"steps": self.step, "seconds": round(self.seconds, 1), **asdict(found)}
        )

    def _tell(
        self, *, loss: float | None = None, judgement: Judgement | None = None
    ) -> None:
        if self.told is not None:
            self.told(Progress(self.step, self.share(self.judging), loss, judgement))

    def _save(self, before: Judgement) -> None:
        if self.checkpoint is None:
            return
        best = None if self.best is None else (asdict(self.best[0]), self.best[1])
        content = {
            "key": self.key,
            "learner": self.learner.saved(),
            "step": self.step,
            "seconds": self.seconds,
            "judging": self.judging,
            "before": asdict(before),
            "best": best,
            "curve": self.curve,
        }
        with replacing(self.checkpoint) as temporary:
            torch.save(content, temporary)

    def _resumed(self) -> Judgement | None:
        """Go on from the checkpoint, where there is one; how good the model was before."""
        if self.checkpoint is None or not self.checkpoint.is_file():
            return None
        try:
            saved = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            if saved["key"] != self.key:
                raise CheckpointError(
                    f"{self.checkpoint} is of a run with other objects, or with another "
                    "model, seed or part: delete it to begin anew."
                )
            self.learner.restore(saved["learner"])
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"{self.checkpoint} cannot be read ({error}): delete it to begin anew."
            ) from error
        self.step, self.judging = saved["step"], saved["judging"]
        self.began = time.monotonic() - saved["seconds"]
        self.curve = saved["curve"]
        if saved["best"] is not None:
            figures, state = saved["best"]
            self.best = (Judgement(**figures), state)
        return Judgement(**saved["before"])


def _merit(found: Judgement) -> float:
    """What a state is kept for: a correction weighs as much as 0.05 of IoU."""
    return found.iou - 0.05 * found.corrections
