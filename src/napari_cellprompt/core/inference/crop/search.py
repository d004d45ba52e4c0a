"""Finds all objects of a plane without a prompt.

A few clicks where the dense map says foreground tell how large the objects are. The plane
is then gone through in tiles in which such objects have the size that the dense map knows;
its peaks of distance are clicked, each in a crop that fits the region around it, and the
network looks at every one of them as at a click of a user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from scipy import ndimage

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.inference.crops import Crop, read
from napari_cellprompt.core.inference.model import Query
from napari_cellprompt.core.masks.crop import cut_candidate
from napari_cellprompt.core.masks.found import FoundObject
from napari_cellprompt.core.types import Prompts

from .looking import Ask, Seen, tile_of, whole, windows_of
from .zooms import extent_in_crop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.inference.searching import SearchSettings

    from .answering import Asking, Manner
    from .looking import Looker
    from .settings import DenseSettings

    Floats = NDArray[np.float32]
    Region = tuple[int, int, int, int]

__all__ = ["Searcher", "find_objects"]


class Searcher(Protocol):
    """What the search needs of the model."""

    looker: Looker
    dense: DenseSettings

    @property
    def name(self) -> str:
        """The model's name."""

    def manner(self, plane: PlaneSource) -> Manner:
        """How objects of a plane are asked for."""

    def answer(
        self,
        plane: PlaneSource,
        askings: Sequence[Asking],
        cancelled: Callable[[], bool] | None = None,
    ) -> list[list[Seen]]:
        """Go through ways of asking side by side until each has its answer."""


@dataclass(frozen=True, slots=True, eq=False)
class _Peak:
    """A place where the dense map sees the middle of an object."""

    point: tuple[float, float]
    """x, y in plane pixels."""
    strength: float
    rough: Seen
    """The region of the map that belongs to it, as an answer."""


def find_objects(
    model: Searcher,
    plane: PlaneSource,
    settings: SearchSettings,
    *,
    region: Region | None = None,
    progress: Callable[[int, int], None] | None = None,
    arrived: Callable[[Sequence[FoundObject]], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[FoundObject]:
    """Find what may be objects; nothing is chosen yet.

    Parameters
    ----------
    model
        What looks.
    plane
        Where.
    settings
        How; of ``size``, ``min_object_score`` and ``min_score`` use is made.
    region
        ``x0, y0, x1, y1``: only objects whose middle lies in it; None: the whole plane.
    progress
        Called with the number of tiles done and of all tiles.
    arrived
        Called with what was found so far of each batch of places, as it comes.
    cancelled
        Asked before each batch.

    Raises
    ------
    PromptError
        For the mode ``grid``, which only SAM has.
    concurrent.futures.CancelledError
        Where ``cancelled`` said so.
    """
    if settings.mode == "grid":
        raise PromptError(
            f"The grid of clicks is the way of SAM, and {model.name} is none: use the mode "
            "auto, or a model of SAM or SAM 2."
        )
    size = settings.size
    if size is None:
        size = _usual_side(model, plane, settings, region=region, cancelled=cancelled)
    if size is None:
        return []
    step = size / (model.dense.share * model.looker.size)
    tiles = _tiles(model, plane.shape, region, step)
    found: list[FoundObject] = []
    for number, (crop, core) in enumerate(tiles):
        if progress is not None:
            progress(number, len(tiles))
        stop_if(cancelled)
        peaks = _peaks(model, plane, crop, core)
        # the clearest first, a few at a time: something is seen early, and a stop is heard
        peaks.sort(key=lambda peak: -peak.strength)
        for start in range(0, len(peaks), model.dense.together):
            some = peaks[start : start + model.dense.together]
            objects = _looked_at(model, plane, some, settings, cancelled)
            found += objects
            if arrived is not None and objects:
                arrived(objects)
    if progress is not None:
        progress(len(tiles), len(tiles))
    return found


def _usual_side(
    model: Searcher,
    plane: PlaneSource,
    settings: SearchSettings,
    *,
    region: Region | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> float | None:
    """How large the objects of a plane are: their longer side in pixels.

    The strongest peaks of the dense map at several scales are clicked as by a user who
    says nothing of the size; the median of what is found decides. None where there is
    nothing.
    """
    dense = model.dense
    peaks: list[_Peak] = []
    largest = max(plane.shape)
    for step in dense.steps:
        if step > dense.steps[0] and step * dense.tile > 2 * largest:
            continue
        tiles = _tiles(model, plane.shape, region, step)
        rows = np.linspace(0, len(tiles) - 1, dense.surveyed).round().astype(int)
        here: list[_Peak] = []
        for row in np.unique(rows):
            stop_if(cancelled)
            here += _peaks(model, plane, *tiles[row])
        here.sort(key=lambda peak: -peak.strength)
        peaks += here[: dense.clicks]
    manner = model.manner(plane)
    clicks = [Prompts(points=(peak.point,), labels=(1,)) for peak in peaks]
    askings = [manner.ask(Query(item)) for item in clicks]
    sides, weights = [], []
    for start in range(0, len(askings), dense.clicks):
        answers = model.answer(plane, askings[start : start + dense.clicks], cancelled)
        for best, *_ in answers:
            trust = best.iou * best.presence
            if trust >= settings.min_score * settings.min_object_score:
                sides.append(extent_in_crop(best) * best.crop.side)
                weights.append(trust)
    if not sides:
        return None
    order = np.argsort(sides)
    total = np.cumsum(np.array(weights)[order])
    return float(np.array(sides)[order][np.searchsorted(total, total[-1] / 2)])


def _tiles(
    model: Searcher, shape: tuple[int, int], region: Region | None, step: float
) -> list[tuple[Crop, Region]]:
    """Overlapping crops over a region, each with the part that only it answers for."""
    dense = model.dense
    side = max(round(dense.tile * step), 1)
    margin = round(dense.margin * step)
    inner = max(side - 2 * margin, 1)
    x0, y0, x1, y1 = region or (0, 0, shape[1], shape[0])
    tiles = []
    for top in range(y0, y1, inner):
        for left in range(x0, x1, inner):
            crop = Crop(float(top - margin), float(left - margin), float(side), dense.tile)
            core = (left, top, min(left + inner, x1), min(top + inner, y1))
            tiles.append((crop, core))
    return tiles


def _peaks(model: Searcher, plane: PlaneSource, crop: Crop, core: Region) -> list[_Peak]:
    """Middles of objects in a tile's own part, with the regions around them."""
    dense = model.dense
    looker = model.looker
    [(window, _)] = windows_of(plane, [crop])
    if window.pixels.min() == window.pixels.max():
        return []
    image, prompts = looker.inputs(plane, [Ask(crop)])
    output = looker.run(image, prompts, dense=True)
    inside, edge, depth = torch.sigmoid(output.dense[0]).float().cpu().numpy()
    height = ndimage.gaussian_filter(inside * depth * (1 - 0.5 * edge), dense.smoothing)
    span = max(1, round(dense.apart * dense.share * looker.size))
    tops = height == ndimage.maximum_filter(height, 2 * span + 1)
    tops &= (height > dense.least_height) & (inside > dense.foreground)
    marks, count = ndimage.label(tops, np.ones((3, 3)))
    if not count:
        return []
    steep = np.clip((1 - height) * 255, 0, 255).astype(np.uint8)
    seeds = np.where(inside > dense.foreground, marks, -1)
    regions = ndimage.watershed_ift(steep, seeds.astype(np.int32), np.ones((3, 3)))
    peaks = []
    middles = ndimage.center_of_mass(tops, marks, range(1, count + 1))
    for number, (row, column) in enumerate(middles, start=1):
        x = crop.x0 + (column + 0.5) * crop.step - 0.5
        y = crop.y0 + (row + 0.5) * crop.step - 0.5
        if not (core[0] <= x + 0.5 < core[2] and core[1] <= y + 0.5 < core[3]):
            continue
        if not (-0.5 <= x <= plane.shape[1] - 0.5 and -0.5 <= y <= plane.shape[0] - 0.5):
            continue
        strength = float(height[round(row), round(column)])
        logits = np.where(regions == number, 4.0, -4.0).astype(np.float32)
        peaks.append(_Peak((x, y), strength, Seen(crop, logits, strength, strength)))
    return peaks


def _looked_at(
    model: Searcher,
    plane: PlaneSource,
    peaks: Sequence[_Peak],
    settings: SearchSettings,
    cancelled: Callable[[], bool] | None,
) -> list[FoundObject]:
    """The objects at these peaks, each looked at for itself."""
    manner = model.manner(plane)
    clicks = [Prompts(points=(peak.point,), labels=(1,)) for peak in peaks]
    askings = [
        manner.located(click, peak.rough.box() or (*peak.point, *peak.point))
        for click, peak in zip(clicks, peaks, strict=True)
    ]
    found = []
    for peak, (seen, *_) in zip(
        peaks, model.answer(plane, askings, cancelled), strict=True
    ):
        if seen.presence < settings.min_object_score or seen.iou < settings.min_score:
            continue
        logits, origin = seen.window(plane.shape)
        candidate = cut_candidate(logits, seen.iou, origin=origin, plane_shape=plane.shape)
        box = candidate.mask.box
        if box is None:
            continue
        sure, likely = (float((logits > level).sum()) for level in (1.0, -1.0))
        found.append(
            FoundObject(
                candidate,
                object_score=seen.presence,
                stability=sure / max(likely, 1.0),
                votes=1,
                consensus=1.0,
                agreement=_agreement(peak.rough, seen),
                touches_border=box[0] == 0
                or box[1] == 0
                or box[2] == plane.shape[1]
                or box[3] == plane.shape[0],
                point=peak.point,
                tile=tile_of(whole(seen.crop)),
            )
        )
    return found


def _agreement(rough: Seen, seen: Seen) -> float:
    """IoU of a region of the dense map with the answer, in the answer's crop."""
    frame = Crop(
        (seen.crop.y0 - rough.crop.y0) / rough.crop.step,
        (seen.crop.x0 - rough.crop.x0) / rough.crop.step,
        seen.crop.side / rough.crop.step,
        seen.crop.size,
    )
    a, b = read(rough.logits > 0, frame) > 0.5, seen.logits > 0
    return float((a & b).sum() / max((a | b).sum(), 1))
