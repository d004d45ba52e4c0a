"""Predicts objects on a plane of any size from what a user says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.inference.cache import FeatureCache
from napari_cellprompt.core.inference.extent import check_prompts
from napari_cellprompt.core.inference.model import Answer, Query
from napari_cellprompt.core.inference.opening import open_model
from napari_cellprompt.core.types import Prediction, Prompts
from napari_cellprompt.core.zoo.load import LoadedModel

from .clicks import says_nothing, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.inference.model import Model

__all__ = ["PlaneSegmenter"]

_STEPS_BYTES = 16 * 1024**2
"""For what the answers to earlier clicks left behind, such as 64 kB of logits each."""


class PlaneSegmenter:
    """Predicts objects from prompts on planes of any size.

    Parameters
    ----------
    model
        A loaded network, which is opened with the usual caches, or a model that is open
        (:func:`~napari_cellprompt.core.inference.opening.open_model`).
    options
        Of ``open_model``, for a loaded network.
    """

    def __init__(self, model: LoadedModel | Model, **options: Any) -> None:
        if isinstance(model, LoadedModel):
            model = open_model(model, **options)
        self.model: Model = model
        self._steps: FeatureCache[Answer] = FeatureCache(_STEPS_BYTES)

    def predict(
        self,
        plane: PlaneSource,
        prompts: Prompts,
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Prediction:
        """Predict one object.

        Parameters
        ----------
        plane
            What to look at.
        prompts
            At least one point, a box or a mask, inside the plane.
        size_hint
            Expected longer side of the object in pixels, such as that of the last
            one; used where the prompts do not tell.
        cancelled
            Asked before each slow step.

        Returns
        -------
        Prediction
            Three masks that the prompts may mean, the likeliest first.

        Raises
        ------
        PromptError
            Where prompts are empty or outside the plane.
        concurrent.futures.CancelledError
            Where ``cancelled`` said so.
        """
        return self.predict_many(
            plane, [prompts], size_hint=size_hint, cancelled=cancelled
        )[0]

    def predict_many(
        self,
        plane: PlaneSource,
        prompts: Sequence[Prompts],
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Prediction]:
        """Predict several objects; together where that is faster.

        Parameters, errors and each result are as in :meth:`predict`.
        """
        for item in prompts:
            check_prompts(item, plane.shape)
        steps = [steps_of(item) for item in prompts]
        begun = [self._begun(plane, item, size_hint) for item in steps]
        done = [step for step, _ in begun]
        left = [len(item) - known for item, (_, known) in zip(steps, begun, strict=True)]
        # those with most clicks first, so that all end with their last step together
        for count in range(max(left, default=0), 0, -1):
            queries: dict[int, Query] = {}
            for row, number in enumerate(left):
                asked = steps[row][-count] if number >= count else None
                if asked is not None and not says_nothing(asked, done[row]):
                    queries[row] = Query(asked, size_hint, done[row])
            answers = self.model.ask(plane, list(queries.values()), cancelled=cancelled)
            for (row, query), answer in zip(queries.items(), answers, strict=True):
                done[row] = answer
                key = (plane.key, query.prompts, size_hint)
                self._steps.put(key, answer, answer.nbytes)
        return [answer.prediction for answer in done if answer is not None]

    def _begun(
        self, plane: PlaneSource, steps: Sequence[Prompts], size_hint: float | None
    ) -> tuple[Answer | None, int]:
        """The latest step before the last that is known, and how many that leaves out."""
        for count in range(len(steps) - 1, 0, -1):
            step = self._steps.get((plane.key, steps[count - 1], size_hint))
            if step is not None:
                return step, count
        return None, 0

    def prepare(
        self,
        plane: PlaneSource,
        xy: tuple[float, float],
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Compute ahead what a click at ``xy`` will need."""
        prompts = Prompts(points=(xy,), labels=(1,))
        check_prompts(prompts, plane.shape)
        self.model.prepare(plane, prompts, size_hint=size_hint, cancelled=cancelled)
