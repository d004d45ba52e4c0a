"""A stack of bright discs, and a propagator that follows them without a network."""

from __future__ import annotations

from concurrent.futures import CancelledError

import numpy as np
import torch
from scipy import ndimage

from napari_cellprompt.core.images.tiles import read_tile
from napari_cellprompt.core.inference.sam.following.follower import SamFollower
from napari_cellprompt.core.inference.sam.following.views import to_view
from napari_cellprompt.core.inference.sam.tracking import ObjectFrame, ObjectMemory
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.types import Prompts


def discs(
    places: list[dict[int, tuple[float, float, float]]],
    shape: tuple[int, int, int] = (12, 96, 96),
) -> np.ndarray:
    """A stack with discs: for each object ``{plane: (x, y, radius)}``."""
    stack = np.full(shape, 20, np.uint8)
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    for item in places:
        for plane, (x, y, radius) in item.items():
            stack[plane][np.hypot(columns - x, rows - y) <= radius] = 220
    return stack


def boxed(x: float, y: float, radius: float) -> Prompts:
    return Prompts(box=(x - radius, y - radius, x + radius + 1, y + radius + 1))


def painted(plane: np.ndarray) -> Prompts:
    return Prompts(mask=encode(plane > 128))


def look(follower, plane, view, group, cancelled):
    """Stands in for ``SamFollower.frames``: bright regions that overlap the last mask."""
    if cancelled is not None and cancelled():
        raise CancelledError
    side = follower.encoder.image_size
    source = follower.stack.plane(plane)
    read = (
        read_tile(source, view, side) if hasattr(view, "size") else view.read(source, side)
    )
    follower.looked.append((plane, view, tuple(item.id for item in group)))
    regions, _ = ndimage.label(read[..., 0] > 128)
    frames = []
    for item in group:
        if item.state.memory is None:
            item.state.memory = ObjectMemory()
        last = to_view(item.recent[-1], view, side)[0, 0].numpy() > 0
        wanted = np.setdiff1d(np.unique(regions[last]), [0])
        mask = np.isin(regions, wanted) if wanted.size else np.zeros(last.shape, bool)
        small = torch.from_numpy(mask.astype(np.float32))[None, None]
        small = torch.nn.functional.interpolate(small, size=(side // 4,) * 2, mode="area")
        frames.append(
            ObjectFrame(
                small[0] * 20 - 10,
                torch.zeros(1),
                torch.zeros(1),
                6.0 if mask.any() else -6.0,
                0.9,
                False,
            )
        )
    return frames


def follow_bright(monkeypatch) -> None:
    """Let every propagator of a test follow bright regions."""
    monkeypatch.setattr(SamFollower, "frames", look)
    monkeypatch.setattr(SamFollower, "looked", [], raising=False)


def still(planes, x=40.0, y=50.0, radius=9.0) -> dict:
    return dict.fromkeys(planes, (x, y, radius))


def seed(stack, x, y, radius=30) -> Prompts:
    """Everything bright around a place."""
    mask = np.zeros(stack.shape, bool)
    mask[max(y - radius, 0) : y + radius, max(x - radius, 0) : x + radius] = True
    return Prompts(mask=encode(mask & (stack > 128)))


def followed(engine, **options) -> list[int]:
    return [plane for plane, _ in engine.propagate(**options)]


def areas(engine, object_id=1) -> dict[int, int]:
    found = {p: engine.outcome(object_id, p).mask for p in engine.planes(object_id)}
    return {p: 0 if mask is None else mask.area for p, mask in found.items()}
