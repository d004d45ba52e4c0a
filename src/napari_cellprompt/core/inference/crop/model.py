"""A crop-wise network as the engine sees it."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.inference.fingerprint import model_fingerprint
from napari_cellprompt.core.inference.model import Answer, Query, Shown
from napari_cellprompt.core.masks.crop import cut_candidate
from napari_cellprompt.core.types import Prediction, Prompts, Tile

from .answering import Manner, first_crop
from .describing import crop_features
from .follower import CropFollower
from .looking import Looker, Seen, crop_of, tile_of, windows_of
from .search import find_objects
from .settings import CropSettings, DenseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.inference.following import FollowSettings
    from napari_cellprompt.core.inference.model import Sight
    from napari_cellprompt.core.inference.searching import SearchSettings
    from napari_cellprompt.core.masks.found import FoundObject
    from napari_cellprompt.core.zoo.load import LoadedModel
    from napari_cellprompt.core.zoo.traits import Traits

    from .answering import Asking

__all__ = ["CropModel"]


class CropModel:
    """Predicts objects from prompts on planes of any size, a crop at a time.

    Nothing is computed ahead or kept: a crop costs less than reading a cache would save.

    Parameters
    ----------
    loaded
        The network.
    settings
        How one object is asked for.
    dense
        How all objects are searched for.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        settings: CropSettings | None = None,
        dense: DenseSettings | None = None,
    ) -> None:
        self.loaded = loaded
        self.settings = settings or CropSettings()
        self.dense = dense or DenseSettings()
        self.looker = Looker(loaded.focus, loaded.image_size)

    @property
    def name(self) -> str:
        """Its name in the zoo, or its file's stem."""
        return self.loaded.spec.name

    @property
    def traits(self) -> Traits:
        """How its answers are to be used."""
        return self.loaded.spec.traits

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self.loaded.device)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights and of how prompts are taken."""
        return model_fingerprint(self.loaded)

    def manner(self, plane: PlaneSource) -> Manner:
        """How objects of a plane are asked for."""
        return Manner(self.settings, self.looker.size, plane.shape)

    def ask(
        self,
        plane: PlaneSource,
        queries: Sequence[Query],
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Answer]:
        """Predict one object for each query; crops of all of them go in one batch."""
        started = time.perf_counter()
        manner = self.manner(plane)
        found = self.answer(plane, [manner.ask(item) for item in queries], cancelled)
        seconds = time.perf_counter() - started
        return [_answer(seen, plane.shape, seconds) for seen in found]

    def answer(
        self,
        plane: PlaneSource,
        askings: Sequence[Asking],
        cancelled: Callable[[], bool] | None = None,
    ) -> list[list[Seen]]:
        """Go through ways of asking side by side until each has its answer."""
        found: dict[int, list[Seen]] = {}
        wanted = {row: next(asking) for row, asking in enumerate(askings)}
        while wanted:
            asks = [item for group in wanted.values() for item in group]
            seen = iter(self.looker.look(plane, asks, cancelled))
            further = {}
            for row, group in wanted.items():
                part = [next(seen) for _ in group]
                try:
                    further[row] = askings[row].send(part)
                except StopIteration as end:
                    found[row] = end.value
            wanted = further
        return [found[row] for row in range(len(askings))]

    def prepare(
        self,
        plane: PlaneSource,
        prompts: Prompts,
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Nothing to compute ahead: a click is answered from its crops alone."""

    def show(
        self,
        plane: PlaneSource,
        seen: Tile | Prompts,
        *,
        size_hint: float | None = None,
    ) -> Shown:
        """The pixels of a crop; for a click of unknown size, of one zoom in the middle.

        The network gets them as numbers: 0 to 1 is shown as 0 to 255, and the little that
        lies beyond as black or white.
        """
        if isinstance(seen, Prompts):
            crop = first_crop(self.manner(plane), seen, size_hint)
        else:
            crop = crop_of(seen, self.looker.size)
        [(window, _)] = windows_of(plane, [crop])
        pixels = np.clip(np.rint(window.planes(crop) * 255), 0, 255).astype(np.uint8)
        return Shown(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), tile_of(crop))

    def find(
        self,
        plane: PlaneSource,
        settings: SearchSettings,
        *,
        region: tuple[int, int, int, int] | None = None,
        progress: Callable[[int, int], None] | None = None,
        arrived: Callable[[Sequence[FoundObject]], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[FoundObject]:
        """Find all objects; see :mod:`.search`."""
        return find_objects(
            self,
            plane,
            settings,
            region=region,
            progress=progress,
            arrived=arrived,
            cancelled=cancelled,
        )

    def describe(
        self, plane: PlaneSource, sights: Sequence[Sight], size: float
    ) -> NDArray[np.float32]:
        """What the encoder says inside each mask, on average, ``(N, D)``."""
        return crop_features(
            self.looker, plane, [mask for mask, _ in sights], self.settings
        )

    def follower(self, stack: Stack, settings: FollowSettings) -> CropFollower:
        """Follows by the neighbouring planes, which are part of the network's input.

        Raises
        ------
        PromptError
            For the method ``memory``, which the network does not have.
        """
        if settings.method == "memory":
            raise PromptError(
                f"The model {self.name} has no memory to follow objects with: use a SAM 2 "
                "model, or the method neighbour."
            )
        return CropFollower(self.looker, stack)

    def remember(
        self, plane: PlaneSource, sights: Sequence[Sight], size: float
    ) -> list[NDArray[np.float16] | None]:
        """None for each: the network recognises nothing."""
        return [None] * len(sights)

    def recognise(
        self,
        plane: PlaneSource,
        sights: Sequence[Sight],
        size: float,
        memories: Sequence[NDArray[np.float16]],
    ) -> NDArray[np.float64]:
        """Not offered: there are no memories to recognise from.

        Raises
        ------
        ValueError
            Always; :meth:`remember` gives nothing that could be asked about.
        """
        raise ValueError(f"{self.name} keeps no memories of objects to recognise them by.")


def _answer(answers: Sequence[Seen], shape: tuple[int, int], seconds: float) -> Answer:
    best = answers[0]
    candidates = []
    for seen in answers:
        logits, origin = seen.window(shape)
        candidates.append(cut_candidate(logits, seen.iou, origin=origin, plane_shape=shape))
    prediction = Prediction(tuple(candidates), best.presence, tile_of(best.crop), seconds)
    return Answer(prediction, best, best.logits.nbytes)
