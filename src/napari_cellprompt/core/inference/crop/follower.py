"""Follows objects with a crop-wise network: its input shows the neighbouring planes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_cellprompt.core.inference.crops import Crop, NeighbourPlane, crop_around
from napari_cellprompt.core.inference.following import Cost, Sighting
from napari_cellprompt.core.masks.crop import cut_candidate

from .looking import Ask, whole, windows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.inference.following import Track
    from napari_cellprompt.core.types import CroppedMask

    from .looking import Looker, Seen

__all__ = ["CropFollowSettings", "CropFollower"]


@dataclass(frozen=True, slots=True)
class CropFollowSettings:
    """How objects are followed; as in training."""

    share: float = 0.45
    """Of the crop's side that the object takes."""
    farthest: int = 3
    """Planes from which on a vouched plane on the other side is too far to say much."""
    lean: float = 1.0
    """Logits by which the mask of the plane before pulls, well inside and outside of it: a
    network that redraws an object a little wrongly repeats that on every plane."""
    pull: float = 0.08
    """Distance from the outline, as a share of the square root of the area, at which it
    pulls with all of that."""


class CropFollower:
    """Follows objects of one stack; nothing is remembered but masks.

    All objects of a plane are looked at in one batch. A crop shows where the object is
    expected; the plane before is shown moved by as much as the object has moved.

    Parameters
    ----------
    looker
        The network.
    stack
        The planes.
    settings
        How objects are followed.
    """

    def __init__(
        self, looker: Looker, stack: Stack, settings: CropFollowSettings | None = None
    ) -> None:
        self.looker = looker
        self.stack = stack
        self.settings = settings or CropFollowSettings()

    def begin(self, track: Track) -> None:
        """Nothing to get ready: the last mask says where to look."""

    def foresee(self, track: Track) -> None:
        """Nothing to get ready: the expected mask says where to look."""

    def place(self, track: Track) -> int:
        """Objects share nothing."""
        return track.id

    def look(
        self,
        plane: int,
        tracks: Sequence[Track],
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[tuple[Track, Sighting]]:
        """Look for objects on a plane, all in one batch."""
        source = self.stack.plane(plane)
        crops = [self._crop(track.expected) for track in tracks]
        known = self._neighbours(tracks, crops)
        asks = [Ask(crop, planes) for crop, planes in zip(crops, known, strict=True)]
        found = self.looker.look(source, asks, cancelled)
        for track, seen in zip(tracks, found, strict=True):
            yield track, self._sighting(track, seen, source.shape)

    def arrive(self, track: Track, found: CroppedMask, *, final: bool) -> bool:
        """Every crop is aimed anew."""
        return True

    def keep(self, plane: int, track: Track, sighting: Sighting) -> None:
        """The mask itself is all that is needed."""

    def cost(
        self,
        track: Track,
        *,
        timed: bool,
        cancelled: Callable[[], bool] | None = None,
    ) -> Cost:
        """Time for one object; no memory is held."""
        started = time.perf_counter()
        if timed:
            list(self.look(track.next, [track], cancelled=cancelled))
        return Cost(0.0, time.perf_counter() - started, 0, 0)

    def forget(self, object_id: int | None = None, plane: int | None = None) -> None:
        """There is nothing to forget."""

    # -- what the network gets -------------------------------------------------
    def _crop(self, mask: CroppedMask) -> Crop:
        box = mask.box
        if box is None:
            raise RuntimeError("an object is followed that has an empty mask")
        return whole(crop_around(box, self.settings.share, self.looker.size))

    def _neighbours(
        self, tracks: Sequence[Track], crops: Sequence[Crop]
    ) -> list[dict[str, NeighbourPlane]]:
        """The known planes of each object, those of one plane read together."""
        wanted: dict[int, list[tuple[int, str]]] = {}
        for row, track in enumerate(tracks):
            wanted.setdefault(track.last_plane, []).append((row, "before"))
            beyond = track.beyond
            if beyond is not None and abs(beyond - track.next) <= self.settings.farthest:
                wanted.setdefault(beyond, []).append((row, "after"))
        known: list[dict[str, NeighbourPlane]] = [{} for _ in tracks]
        for plane, places in wanted.items():
            moves = [
                tracks[row].moved if side == "before" else (0.0, 0.0)
                for row, side in places
            ]
            # where the crops lie on that plane, before the objects moved
            there = [
                Crop(
                    crops[row].y0 - dy, crops[row].x0 - dx, crops[row].side, crops[row].size
                )
                for (row, _), (dy, dx) in zip(places, moves, strict=True)
            ]
            for window, members in windows_of(self.stack.plane(plane), there):
                for member in members:
                    (row, side), (dy, dx) = places[member], moves[member]
                    mask = tracks[row].mask_on(plane)
                    if mask is None:
                        continue
                    known[row][side] = NeighbourPlane(
                        window.pixels,
                        mask.data,
                        (mask.origin[0] + dy, mask.origin[1] + dx),
                        float(abs(plane - tracks[row].next)),
                        (window.y0 + dy, window.x0 + dx),
                    )
        return known

    def _sighting(self, track: Track, seen: Seen, shape: tuple[int, int]) -> Sighting:
        """What was seen, drawn a little towards the mask that was expected."""
        logits, origin = seen.window(shape)
        leaned = logits + self._pull(track, logits.shape, origin)
        candidate = cut_candidate(leaned, seen.iou, origin=origin, plane_shape=shape)
        return Sighting(candidate, seen.presence)

    def _pull(
        self, track: Track, size: tuple[int, ...], origin: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Logits by which the expected mask pulls in a window of ``size`` at ``origin``."""
        mask = track.expected
        inside = np.zeros(size, bool)
        rows, columns = mask.indices()
        rows, columns = rows - origin[0], columns - origin[1]
        seen = (rows >= 0) & (columns >= 0) & (rows < size[0]) & (columns < size[1])
        inside[rows[seen], columns[seen]] = True
        # half a pixel each way: the outline runs between the pixels
        distance = np.where(
            inside,
            ndimage.distance_transform_edt(inside) - 0.5,
            0.5 - ndimage.distance_transform_edt(~inside),
        )
        rest = [step - round(step) for step in track.moved]
        if any(rest):
            # whole pixels would hold an object back that moves by less
            distance = ndimage.shift(distance, rest, order=1, mode="nearest")
        reach = max(self.settings.pull * np.sqrt(mask.area), 1e-6)
        pull: NDArray[np.float32] = np.clip(distance / reach, -1, 1).astype(np.float32)
        return self.settings.lean * pull
