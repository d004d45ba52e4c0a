"""What the engine may ask of a model, whatever network stands behind it.

The seam lies where an object on a plane is asked for, and where an object is followed to
another plane. How a plane is shown to the network, what is computed once and kept, and how
prompts reach it, is the model's own affair: the SAM family encodes tiles and decodes
prompts against them (:mod:`.sam`), a crop-wise network looks at a crop zoomed to the
object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.masks.found import FoundObject
    from napari_cellprompt.core.types import CroppedMask, Prediction, Prompts, Tile
    from napari_cellprompt.core.zoo.traits import Traits

    from .following import Follower, FollowSettings
    from .searching import SearchSettings

__all__ = ["Answer", "Model", "Query", "Shown", "Sight"]

Sight = tuple["CroppedMask", "Tile | None"]
"""An object, and the part of the plane that the model saw it in, where it did."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model said to one query."""

    prediction: Prediction
    state: Any = field(default=None, repr=False)
    """What the model wants to be given back with the object's next click; no one else
    looks into it."""
    nbytes: int = 0
    """Memory that ``state`` takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One object that is asked for."""

    prompts: Prompts
    """Checked: at least one click on the object, a box or a mask, inside the plane."""
    size_hint: float | None = None
    """Expected longer side of the object in pixels, where the prompts do not tell."""
    earlier: Answer | None = None
    """What the prompts gave before their last click."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Exactly the pixels that a network gets."""

    pixels: NDArray[np.uint8]
    """``(S, S, 3)``."""
    tile: Tile
    """The part of the plane that they show."""


class Model(Protocol):
    """A loaded model, as segment, everything, propagate and few-shot see it.

    Coordinates are pixels of the plane. ``cancelled`` is asked before each slow step;
    where it says so, ``concurrent.futures.CancelledError`` is raised.
    """

    @property
    def name(self) -> str:
        """Its name in the zoo, or its file's stem."""

    @property
    def traits(self) -> Traits:
        """How its answers are to be used."""

    @property
    def device(self) -> str:
        """Where it computes."""

    @property
    def fingerprint(self) -> str:
        """Hash of its weights and of how it takes prompts, 32 hexadecimal digits."""

    def ask(
        self,
        plane: PlaneSource,
        queries: Sequence[Query],
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Answer]:
        """Predict one object for each query, together where that is faster."""

    def prepare(
        self,
        plane: PlaneSource,
        prompts: Prompts,
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Compute ahead what these prompts will need."""

    def show(
        self,
        plane: PlaneSource,
        seen: Tile | Prompts,
        *,
        size_hint: float | None = None,
    ) -> Shown:
        """The pixels of a part of a plane, or of what is looked at first for prompts."""

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
        """Find all objects of a plane, or of ``x0, y0, x1, y1`` of it; none is chosen yet.

        ``progress`` is called with the number of parts done and of all parts, ``arrived``
        with the objects of each part as soon as they are there.
        """

    def describe(
        self, plane: PlaneSource, sights: Sequence[Sight], size: float
    ) -> NDArray[np.float32]:
        """Properties ``(N, D)`` of objects of about this size, to compare them by."""

    def remember(
        self, plane: PlaneSource, sights: Sequence[Sight], size: float
    ) -> list[NDArray[np.float16] | None]:
        """A memory of each object; None of models that recognise nothing."""

    def recognise(
        self,
        plane: PlaneSource,
        sights: Sequence[Sight],
        size: float,
        memories: Sequence[NDArray[np.float16]],
    ) -> NDArray[np.float64]:
        """How well objects are recognised from memories of one kind, logits ``(N,)``."""

    def follower(self, stack: Stack, settings: FollowSettings) -> Follower:
        """What follows objects through a stack with this model.

        Raises
        ------
        PromptError
            Where the model does not offer the method; it says what can be used instead.
        """
