"""A model without a network: whatever is bright is an object."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from napari_cellprompt.core.images.tiles import read_tile
from napari_cellprompt.core.inference.following import Cost, Sighting
from napari_cellprompt.core.inference.model import Answer, Shown
from napari_cellprompt.core.masks.crop import cut_candidate
from napari_cellprompt.core.masks.found import FoundObject
from napari_cellprompt.core.types import Candidate, Prediction, Tile
from napari_cellprompt.core.zoo.traits import Traits

SIDE = 64


class FakeModel:
    """Answers as a model does, with the connected bright regions of a plane."""

    name, device, fingerprint, traits = "fake", "cpu", "0" * 32, Traits()

    def ask(self, plane, queries, *, cancelled=None):
        return [Answer(self._predicted(plane, item.prompts)) for item in queries]

    def prepare(self, plane, prompts, *, size_hint=None, cancelled=None):
        pass

    def show(self, plane, seen, *, size_hint=None):
        tile = seen if isinstance(seen, Tile) else Tile(1.0, 0, 0, SIDE)
        return Shown(read_tile(plane, tile, SIDE), tile)

    def find(
        self, plane, settings, *, region=None, progress=None, arrived=None, cancelled=None
    ):
        found = [(place, candidate(regions(plane) == place)) for place in ids(plane)]
        tile = Tile(1.0, 0, 0, max(plane.shape))
        return [
            FoundObject(item, 0.9, 1.0, 1, 1.0, 1.0, False, (0.0, 0.0), tile)
            for _, item in found
        ]

    def describe(self, plane, sights, size):
        return np.array([[mask.area**0.5] for mask, _ in sights], np.float32)

    def remember(self, plane, sights, size):
        return [None] * len(sights)

    def recognise(self, plane, sights, size, memories):
        return np.zeros(len(sights))

    def follower(self, stack, settings):
        return FakeFollower(stack)

    def _predicted(self, plane, prompts):
        y, x = (round(value) for value in reversed(prompts.points[0]))
        seen = regions(plane)
        mask = (seen == seen[y, x]) & (seen > 0)
        return Prediction((candidate(mask),), 0.9, Tile(1.0, 0, 0, SIDE), 0.0)


class FakeFollower:
    """Finds the bright region that lies most where the object is expected."""

    def __init__(self, stack: Any) -> None:
        self.stack = stack
        self.looked: list[int] = []

    def look(self, plane, tracks, *, cancelled=None):
        self.looked.append(plane)
        seen = regions(self.stack.plane(plane))
        for track in tracks:
            votes = np.bincount(seen[track.expected.to_plane()], minlength=2)[1:]
            mask = (seen == votes.argmax() + 1) if votes.any() else np.zeros_like(seen)
            yield track, Sighting(candidate(mask > 0), 0.9 if votes.any() else 0.1)

    def place(self, track):
        return track.id

    def arrive(self, track, found, *, final):
        return True

    def cost(self, track, *, timed, cancelled=None):
        return Cost(0.0, 0.001, 1000, 10, 1500)

    def begin(self, track):
        pass

    def foresee(self, track):
        pass

    def keep(self, plane, track, sighting):
        pass

    def forget(self, object_id=None, plane=None):
        pass


def regions(plane: Any) -> np.ndarray:
    """Connected bright regions, ``(H, W)``, 0 = background."""
    height, width = plane.shape
    return ndimage.label(plane.read_grey(0, height, 0, width) > 128)[0]


def ids(plane: Any) -> range:
    return range(1, int(regions(plane).max()) + 1)


def candidate(mask: np.ndarray) -> Candidate:
    logits = np.where(mask, 8.0, -8.0).astype(np.float32)
    return cut_candidate(logits, 0.9, plane_shape=mask.shape)
