"""What propagation is told and what it answers; frozen, safe to hand to a screen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.inference.following import (
    FollowSettings,
    Geometry,
    Method,
    TrackSettings,
)

if TYPE_CHECKING:
    from napari_cellprompt.core.types import CroppedMask

__all__ = [
    "DIRECTIONS",
    "Direction",
    "Division",
    "Estimate",
    "Geometry",
    "PlaneConfidence",
    "PlaneOutcome",
    "PropagationSettings",
    "State",
]

Direction = Literal["both", "forward", "backward"]
DIRECTIONS: tuple[Direction, ...] = ("both", "forward", "backward")
State = Literal["prompted", "locked", "tracked", "ended", "absent"]


@dataclass(frozen=True, slots=True)
class PropagationSettings:
    """How objects are followed, and when an object counts as gone.

    Raises
    ------
    PromptError
        For values out of range.
    """

    geometry: Geometry = "auto"
    """``"roi"``: a tile that follows the object, at the scale at which the model
    resolves it. ``"field"``: the whole plane squeezed to the model's square, as SAM 2
    looks at videos. ``"auto"``: the field for objects that are large in it, else roi."""
    method: Method = "auto"
    """``"memory"``: what SAM 2 remembers of several planes. ``"neighbour"``: the mask of
    the plane before is the prompt of the next one, and nothing else is remembered: the
    fastest, for slow changes; works with models that have no memory. ``"auto"``: memory
    where the model has one."""
    track: TrackSettings = field(default_factory=lambda: TrackSettings(max_prompted=4))
    """What is remembered; fewer memories are faster. A prompted or locked plane costs as
    much as a tracked one, so that only four of them are attended to unless said."""
    lean: float | None = None
    """Share of the mask of the plane before, moved by what changes between the planes, in
    the mask of each next one; only for small models whose own outlines drift, which have a
    trait of it. 0 takes the network's masks as they are; None: as the traits say."""
    look: float | None = None
    """Weight of the grey values in each next mask, in logits; only for models with a trait
    of it. 0 leaves them to the network; None: as the traits say."""
    motion: bool = True
    """In movies, look for each object where its grey values have gone
    (:mod:`.motion`)."""
    stop_object_score: float = 0.5
    """Below this probability of being there the object has left; in movies also where the
    probabilities of two frames in a row, multiplied, are below it."""
    stop_area_ratio: float = 0.1
    """A mask smaller than this share of the usual area (the median of the last three
    planes) is a remnant: the object has ended."""
    stop_overlap: float = 0.1
    """A mask that shares less than this with that of the neighbouring plane (of the
    smaller of the two areas) has jumped to another object; 0 switches this off."""
    stop_contrast: float = 0.25
    """An object that stands out from its surroundings by less than this share of what it
    did on its prompted plane has faded away, as nuclei do above and below their focus.
    In movies only for objects that stood out clearly; 0 switches this off."""
    stop_regrowth: float = 1.2
    """An object that had shrunk below 0.6 of its area and now has this times its smallest
    area is the next one along z, and so is one that stood out clearly, had faded below 0.7
    of that, and now stands out by this times as much as where it was faintest: there it has
    ended. Not asked in movies. 0 switches this off."""
    stop_patience: int | None = None
    """Planes in a row that must fail before an object is given up in that direction; None:
    3 in movies, where a frame may be out of focus and the object comes back after it, 1
    along z. Frames on which there is nothing to see do not count, nor those
    on which all of several objects fail together."""
    non_overlap: bool = True
    """A pixel that two objects want goes to the higher logit; never in memory."""

    def __post_init__(self) -> None:
        if self.geometry not in ("auto", "roi", "field"):
            raise PromptError(
                f"geometry must be auto, roi or field: got {self.geometry!r}."
            )
        if self.method not in ("auto", "memory", "neighbour"):
            raise PromptError(
                f"method must be auto, memory or neighbour: got {self.method!r}."
            )
        for name in (
            "lean",
            "stop_object_score",
            "stop_area_ratio",
            "stop_overlap",
            "stop_contrast",
        ):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise PromptError(f"{name} must lie in 0 to 1: got {value}.")
        if (self.look or 0) < 0 or 0 != self.stop_regrowth < 1:
            raise PromptError(
                "look must be 0 or more, stop_regrowth 0, or 1 or more: got "
                f"{self.look} and {self.stop_regrowth}."
            )
        if self.stop_patience is not None and self.stop_patience < 1:
            raise PromptError(f"stop_patience must be 1 or more: got {self.stop_patience}.")

    def patience(self, *, is_time: bool) -> int:
        """Planes in a row that must fail, in a movie or along z."""
        return self.stop_patience or (3 if is_time else 1)

    @property
    def following(self) -> FollowSettings:
        """What of it a model's follower has to know."""
        return FollowSettings(self.geometry, self.method, self.track, self.lean, self.look)


@dataclass(frozen=True, slots=True, eq=False)
class PlaneOutcome:
    """One object on one plane."""

    id: int
    plane: int
    mask: CroppedMask | None
    """None where the object is not on this plane."""
    iou: float
    """Predicted, 0 to 1."""
    object_score: float
    """Probability that the object is there, 0 to 1."""
    state: State
    """``prompted``: from prompts; ``locked``: verified by the user; ``tracked``: found
    by propagation; ``ended``: here the object was given up; ``absent``: not here."""
    parts: int
    """Connected parts of at least a fifth of the area; 0 without a mask."""


@dataclass(frozen=True, slots=True)
class PlaneConfidence:
    """How far one plane of an object can be trusted; for ranking, not a probability."""

    plane: int
    state: State
    iou: float
    object_score: float
    overlap: float
    """With the neighbouring plane nearer to a prompt, of the smaller area; 1 if none."""
    area_jump: float
    """Absolute base-2 logarithm of the ratio of areas to that neighbour; 1 = doubled."""
    confidence: float
    """0 to 1, all of these together; prompted and locked planes have 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """An object that stays in two parts: perhaps two daughters."""

    id: int
    plane: int
    """The first plane on which there are two."""
    parts: tuple[CroppedMask, CroppedMask]
    """The larger one first."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a propagation will take."""

    planes: int
    """Planes of objects still to be tracked, one per object and plane, at most (an
    object may end before)."""
    seconds: float
    nbytes: int
    """Memory that features and memories will hold, at most; the masks come on top."""
