"""The tuned constants of the engine, each with the value that takes its effect away.

Read by ``ablate.py``. A constant is named as in the package, ``module:Class.field``,
``module:NAME`` or ``traits:field``.

Not listed are constants that were part of training (a network sees what it was taught
with: ``core.inference.crops``, ``DrawingSpec``), limits of memory and batch sizes, the
economy settings of ``TrackSettings`` (``propagation.py --economy`` measures them), what
is asked only of two anchors (``CropFollowSettings.farthest``), what changes only which
alternatives are offered (``CropSettings.different``, ``least_score``, ``whole_extent``),
and those of few-shot, which ``fewshot.py`` measures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from napari_cellprompt.core.zoo.spec import ModelSpec

__all__ = ["CONSTANTS", "PARTS", "Constant", "Part", "constants_of", "without_trait"]

Part = Literal["quality", "everything", "grid", "propagation"]
PARTS: tuple[Part, ...] = ("quality", "everything", "grid", "propagation")
"""``grid`` is everything in that mode, which only SAM has."""

_ASK: Part
_FIND: Part
_GRID: Part
_FOLLOW: Part
_ASK, _FIND, _GRID, _FOLLOW = PARTS


@dataclass(frozen=True, slots=True)
class Constant:
    """One tuned constant."""

    name: str
    neutral: Any
    """What it is set to."""
    means: str
    """What the engine does then."""
    parts: tuple[Part, ...]
    """What it can change."""
    families: tuple[str, ...] = ()
    """Of networks that it concerns; empty: all."""


def _rows(
    where: str,
    parts: tuple[Part, ...],
    rows: Iterable[tuple[str, Any, str]],
    families: tuple[str, ...] = (),
) -> list[Constant]:
    return [
        Constant(where + name, value, means, parts, families) for name, value, means in rows
    ]


_CROP = ("focus",)
_SAM = ("sam1", "sam2")

CONSTANTS: tuple[Constant, ...] = (
    *_rows(
        "core.inference.crop.settings:CropSettings.",
        (_ASK, _FIND),
        [
            ("growth", math.inf, "a larger object than the zooms is not looked for"),
            ("reach", 100.0, "all zooms are looked at, however small the plane"),
            ("second_share", 0.5, "half of the crop, as if not tuned"),
            ("least_extent", 1e-6, "small answers are as good as others"),
            ("most_extent", 1 - 1e-6, "answers that fill the crop are as good as others"),
            ("floor", 1.0, "the extent of an answer says nothing of its zoom"),
            ("disagreed", 1.0, "agreement of neighbouring zooms says nothing"),
        ],
        _CROP,
    ),
    *_rows(
        "core.inference.crop.settings:CropSettings.",
        (_ASK,),
        [
            ("box_share", 0.5, "half of the crop, as if not tuned"),
            ("box_again_share", 0.5, "half of the crop, as if not tuned"),
            ("mask_share", 0.5, "half of the crop, as if not tuned"),
            ("corrected_share", 0.5, "half of the crop, as if not tuned"),
            ("sure", 0.0, "a box is never looked at twice"),
        ],
        _CROP,
    ),
    *_rows(
        "core.inference.crop.settings:DenseSettings.",
        (_FIND,),
        [
            ("share", 0.4, "objects are searched for as large as they are after a click"),
            ("margin", 0, "tiles do not overlap"),
            ("steps", (1.4,), "the size is sought at one scale"),
            ("surveyed", 1, "... on one tile"),
            ("clicks", 1, "... by one click a scale"),
            ("smoothing", 0.0, "the map is not smoothed"),
            ("apart", 0.0, "peaks may be neighbours"),
            ("least_height", 0.0, "every peak is clicked"),
        ],
        _CROP,
    ),
    *_rows(
        "core.inference.crop.follower:CropFollowSettings.",
        (_FOLLOW,),
        [
            ("share", 0.5, "half of the crop, as if not tuned"),
            ("lean", 0.0, "the mask of the plane before does not pull"),
            ("pull", 0.0, "it pulls with all of that from the outline on"),
        ],
        _CROP,
    ),
    *_rows(
        "core.inference.searching:SearchSettings.",
        (_FIND,),
        [
            ("min_object_score", 0.0, "every answer is taken for an object"),
            ("min_score", 0.0, "however low its predicted IoU"),
        ],
    ),
    *_rows(
        "core.inference.searching:SearchSettings.",
        (_FIND,),
        [("spacing", 28.0, "clicks are twice as dense")],
        _SAM,
    ),
    *_rows(
        "core.inference.searching:GridSettings.",
        (_GRID,),
        [
            ("conf_thres", 0.0, "masks of any predicted IoU stay"),
            ("stability_score_thresh", 0.0, "masks of any stability stay"),
            ("nms_thresh", 1.0, "duplicates stay"),
        ],
        _SAM,
    ),
    *_rows(
        "core.propagate.types:PropagationSettings.",
        (_FOLLOW,),
        [
            ("motion", False, "an object is looked for where it was"),
            ("stop_object_score", 0.0, "the model does not say when an object has left"),
            ("stop_area_ratio", 0.0, "remnants stay"),
            ("stop_overlap", 0.0, "masks may jump"),
            ("stop_contrast", 0.0, "objects may fade"),
            ("stop_regrowth", 0.0, "the next object along z may be taken for it"),
            ("stop_patience", 1, "one plane without the object ends it, in movies too"),
            ("non_overlap", False, "objects may overlap"),
        ],
    ),
    *_rows(
        "core.propagate.motion:",
        (_FOLLOW,),
        [
            ("_MARGIN", 0.0, "nothing around an object is compared"),
            ("_CORRELATED", -1.0, "a place that correlates little counts too"),
        ],
    ),
    *_rows(
        "core.propagate.",
        (_FOLLOW,),
        [
            ("rules:_CLEAR", 0.0, "every object can fade"),
            ("rules:_FAINT", 1.0, "an object has begun to fade at once"),
            ("rules:_RING", 1, "one pixel around it stands for its surroundings"),
            ("endings:_SHRUNK", 1.0, "an object has begun to shrink at once"),
        ],
    ),
    *_rows(
        "core.inference.sam.",
        (_ASK,),
        [
            ("aim:_MAX_LOOKS", 1, "an object is looked at once"),
            ("aim:_UNFIT", 0.0, "the size of an answer says nothing of its level"),
            ("clicks:_REACH", 0, "a corrective click changes its own pixel's surroundings"),
        ],
        _SAM,
    ),
    *_rows(
        "core.inference.sam.following.",
        (_FOLLOW,),
        [
            ("recall:_MOVED", 1, "one plane is remembered again on another tile"),
            ("recall:_VIEWS", 1, "an anchor is remembered in one view"),
            ("views:_LARGE", math.inf, "the whole plane is never shown"),
            ("views:_SHARES", (0.0, 1.0), "the level never changes"),
            ("appearance:_SMOOTH", 1e-6, "grey values are not smeared"),
            ("appearance:_BLUR", 1e-6, "evidence is not averaged"),
        ],
        _SAM,
    ),
    *_rows(
        "core.inference.sam.searching.",
        (_FIND,),
        [
            ("answers:_SAME", 1.0, "no answers are joined"),
            ("search:_GROWTH", 0.0, "the box asked about is the mask's own"),
            ("search:_SURVEYED", 1, "the size is sought on one tile a level"),
            ("search:_SURE", math.inf, "all is clicked again from other tiles"),
            ("search:_DOUBTFUL", 0.0, "no finer level is tried"),
            ("search:_FEW", 0, "no denser clicks are tried"),
            ("search:_ABSENT", 0.0, "no click says that there is background"),
        ],
        _SAM,
    ),
    *_rows(
        "core.masks.ellipse:",
        (_ASK,),
        [
            ("BOX_WEIGHT", 0.0, "boxes are not drawn towards ellipses"),
            ("CLICK_WEIGHT", 0.0, "masks from clicks are not drawn towards ellipses"),
        ],
        _SAM,
    ),
)


_PARTS_OF_TRAITS: dict[str, tuple[Part, ...]] = {
    "ambiguous": (_ASK,),
    "click_share": (_ASK,),
    "corrected_share": (_ASK,),
    "tries_finer": (_ASK,),
    "rounds": (_ASK,),
    "corrects_locally": (_ASK,),
    "refines_by_box": (_FIND,),
    "lean": (_FOLLOW,),
    "look": (_FOLLOW,),
    "certain": (_FOLLOW,),
    "best_of_three": (_FOLLOW,),
}


def constants_of(spec: ModelSpec) -> list[Constant]:
    """The constants that concern a model, its traits among them.

    A trait is set to what it is for SAM and SAM 2 as they were published; of a crop-wise
    model only those that it reads.
    """
    from napari_cellprompt.core.zoo.traits import Traits

    chosen = [
        item for item in CONSTANTS if not item.families or spec.family in item.families
    ]
    published = Traits()
    for name, parts in _PARTS_OF_TRAITS.items():
        value = getattr(published, name)
        read = spec.family != "focus" or name == "certain"
        if read and getattr(spec.traits, name) != value:
            chosen.append(
                Constant(f"traits:{name}", value, "as SAM 2 was published", parts)
            )
    return chosen


def without_trait(spec: ModelSpec, constant: Constant) -> ModelSpec:
    """A model's entry with one of its traits set to the neutral value."""
    _, name = constant.name.split(":")
    return replace(spec, traits=replace(spec.traits, **{name: constant.neutral}))
