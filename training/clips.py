"""Cuts short clips out of stacks and movies, and makes some from single images.

A clip shows one square of the field over a few frames, as propagation sees it: the object
that it was cut for spans a good part of the input, others are around it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage

from augment import jitter_looks, to_network
from data import columns_of, load_splits, stretch
from simulate import divisions, nuclei_3d

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from data import Plane

__all__ = [
    "Clip",
    "ClipStream",
    "Stack",
    "clip_from_plane",
    "clip_from_stack",
    "load_stacks",
]

SPAN = (55.0, 150.0)
"""Input pixels that the object of a clip spans; the scale of the tiles of propagation."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Consecutive planes with ids that stay the same."""

    dataset: str
    images: NDArray[np.uint8]
    """``(N, H, W)``, contrast already stretched."""
    labels: NDArray[np.uint16]
    starts: NDArray[np.intp]
    """``(n, 6)`` plane, id, x0, y0, x1, y1 of every object on every plane."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """T frames of one square and N objects, all on the first frame."""

    images: Tensor
    """``(T, 3, S, S)`` normalised."""
    masks: Tensor
    """``(T, N, S, S)`` bool."""

    def to(self, device: torch.device) -> Clip:
        """The clip on a device."""
        return Clip(
            self.images.to(device, non_blocking=True),
            self.masks.to(device, non_blocking=True),
        )

    def pin_memory(self) -> Clip:
        """The clip in memory that a GPU can copy from by itself."""
        return Clip(self.images.pin_memory(), self.masks.pin_memory())


def make_stack(
    dataset: str, images: NDArray[np.uint8], labels: NDArray[np.uint16], smallest: int = 25
) -> Stack:
    """List the planes on which each object of at least ``smallest`` pixels is large."""
    starts = []
    count = int(labels.max()) + 1
    sizes = np.stack([np.bincount(page.ravel(), minlength=count) for page in labels])
    # from near its largest plane a user starts, not from its tip
    large = sizes >= np.maximum(0.4 * sizes.max(axis=0), smallest)
    for plane, page in enumerate(labels):
        for position, slices in enumerate(ndimage.find_objects(page)):
            if slices is not None and large[plane, position + 1]:
                rows, columns = slices
                box = (columns.start, rows.start, columns.stop, rows.stop)
                starts.append((plane, position + 1, *box))
    table = np.array(starts, dtype=np.intp).reshape(-1, 6)
    return Stack(dataset, images, labels, table)


def load_stacks(root: str | Path, part: str) -> list[Stack]:
    """Stacks and movies of one part of the data whose ids are consistent.

    Parameters
    ----------
    root
        The folder that ``CELLPROMPT_DATA`` names.
    part
        ``"train"``, ``"val"`` or ``"test"``.
    """
    root = Path(root)
    rules = load_splits()["datasets"]
    stacks = []
    for entry in json.loads((root / "manifest.json").read_text()):
        rule = rules.get(entry["name"])
        if rule is None or part not in rule["parts"]:
            continue
        if entry["label_ids"] != "consistent" or entry["axes"] not in ("ZYX", "TYX"):
            continue
        labels = tifffile.imread(root / entry["lab"])
        images = stretch(tifffile.imread(root / entry["img"]))
        columns = columns_of(rule, part, labels.shape[2])
        cut = np.ascontiguousarray(labels[:, :, columns]).astype(np.uint16)
        stacks.append(make_stack(entry["name"], images[:, :, columns], cut))
    return stacks


def simulated_stacks(seeds: Sequence[int]) -> list[Stack]:
    """Simulated nuclei: z-stacks, and movies in which a mother stands for her daughters."""
    stacks = []
    for seed in seeds:
        if seed % 2:
            image, truth = nuclei_3d(seed, (20, 128, 128), 22)
        else:
            image, truth, tracks = divisions(seed, 14, 144, 9)
            for track in tracks:
                # one clip follows both daughters, so that a division shows as two parts
                if track.parent:
                    truth[truth == track.label] = track.parent
        stacks.append(make_stack("simulated", stretch(image), truth))
    return stacks


def clip_from_stack(
    stack: Stack, frames: int, size: int, objects: int, rng: np.random.Generator
) -> Clip | None:
    """A clip that starts at a random object and goes up or down the stack."""
    plane, _, *box = stack.starts[int(rng.integers(len(stack.starts)))]
    step = int(rng.choice((1, 1, 1, 2))) * int(rng.choice((-1, 1)))
    indices = [plane + step * k for k in range(frames)]
    if not 0 <= indices[-1] < len(stack.images):
        indices = [plane - step * k for k in range(frames)]
    indices = [index for index in indices if 0 <= index < len(stack.images)]
    if len(indices) < 3:
        return None
    top, left, side = _window(box, size, rng)
    images = [_cut(stack.images[index], top, left, side) for index in indices]
    labels = [_cut(stack.labels[index], top, left, side) for index in indices]
    return _finish(images, labels, size, objects, rng)


def clip_from_plane(
    plane: Plane, frames: int, size: int, objects: int, rng: np.random.Generator
) -> Clip | None:
    """A clip in which a single image moves, bends, and loses objects."""
    box = plane.boxes[int(rng.integers(len(plane.ids)))]
    top, left, side = _window(box, size, rng)
    image, labels = _cut(plane.image, top, left, side), _cut(plane.labels, top, left, side)
    extent = float(max(box[2] - box[0], box[3] - box[1]))
    shifts = _motion(frames, side, extent, rng)
    images, truths = [], []
    leaving = rng.permutation(np.setdiff1d(np.unique(labels), (0,)))[: int(rng.integers(3))]
    leaves = {int(i): int(rng.integers(1, frames)) for i in leaving}
    for frame in range(frames):
        seen, truth = _without(image, labels, leaves, frame, rng)
        dy, dx = shifts[frame]
        y, x = np.mgrid[:side, :side].astype(np.float32)
        places = (y + dy, x + dx)
        truths.append(
            ndimage.map_coordinates(truth, places, order=0, mode="constant", cval=0)
        )
        channels = seen[..., None] if seen.ndim == 2 else seen
        moved = [
            ndimage.map_coordinates(
                channels[..., c].astype(np.float32), places, order=1, mode="nearest"
            )
            for c in range(channels.shape[-1])
        ]
        gain = float(np.exp(rng.normal(0, 0.08)))
        pixels = np.clip(np.stack(moved, axis=-1) * gain, 0, 255).astype(np.uint8)
        images.append(pixels[..., 0] if seen.ndim == 2 else pixels)
    return _finish(images, truths, size, objects, rng)


def _window(
    box: Sequence[int], size: int, rng: np.random.Generator
) -> tuple[int, int, int]:
    """Top, left and side of a square in which an object spans a good part of the input."""
    x0, y0, x1, y1 = box
    extent = max(x1 - x0, y1 - y0)
    span = float(np.exp(rng.uniform(*np.log(SPAN))))
    side = max(round(size / min(max(span / extent, 0.3), 8.0)), 8)
    # near the middle, as objects that come near the border are followed
    centre = np.array(((y0 + y1) / 2, (x0 + x1) / 2)) + rng.uniform(-0.2, 0.2, 2) * side
    top, left = np.round(centre - side / 2).astype(int)
    return int(top), int(left), side


def _cut(array: NDArray[Any], top: int, left: int, side: int) -> NDArray[Any]:
    """A square of an image, zeros where it overhangs."""
    out = np.zeros((side, side, *array.shape[2:]), array.dtype)
    y0, y1 = max(top, 0), min(top + side, array.shape[0])
    x0, x1 = max(left, 0), min(left + side, array.shape[1])
    if y1 > y0 and x1 > x0:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = array[y0:y1, x0:x1]
    return out


def _motion(
    frames: int, side: int, extent: float, rng: np.random.Generator
) -> list[NDArray[np.float32]]:
    """Displacements ``(2, side, side)`` of each frame: drift, and bending that grows."""
    speed = float(rng.choice((0.03, 0.08, 0.2))) * extent
    drift = rng.normal(0, speed, 2)
    coarse = rng.normal(0, 1, (2, 2, *(max(round(side / extent / 1.2), 2),) * 2))
    fields = []
    for field in coarse.reshape(4, *coarse.shape[2:]):
        zoom = side / field.shape[0]
        grown = ndimage.zoom(field, zoom, order=3, grid_mode=True, mode="nearest")
        fields.append(
            np.resize(grown, (side, side)) if grown.shape != (side,) * 2 else grown
        )
    steady, wave = np.stack(fields[:2]), np.stack(fields[2:])
    amplitude = float(rng.uniform(0.01, 0.09)) * extent
    growth = float(rng.normal(0, 0.03))
    centre = np.mgrid[:side, :side] - side / 2
    shifts = []
    for frame in range(frames):
        bend = amplitude * (frame * steady + np.sin(frame * 1.3) * wave)
        shift = drift[:, None, None] * frame + bend + centre * growth * frame
        shifts.append(shift.astype(np.float32))
    return shifts


def _without(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint16],
    leaves: dict[int, int],
    frame: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Shrink and then remove objects that leave, as the end of one in a z-stack looks."""
    seen, truth = image, labels
    # beyond the border of the plane everything is exactly zero
    inside = image.reshape(*labels.shape, -1).any(axis=2)
    for number, last in leaves.items():
        if frame < last - 1:
            continue
        mask = labels == number
        gone = mask
        if frame == last - 1 and last > 1:
            depth = ndimage.distance_transform_edt(mask)
            gone = mask & (depth < 0.5 * depth.max())
        around = ndimage.binary_dilation(mask, iterations=5) & (labels == 0) & inside
        if np.count_nonzero(around) < 10:
            continue
        seen = seen.copy() if seen is image else seen
        truth = truth.copy() if truth is labels else truth
        hole = (
            ndimage.binary_dilation(gone, iterations=1)
            & ((labels == 0) | mask)
            & ~(mask & ~gone)
        )
        seen[hole] = image[around][rng.integers(0, around.sum(), hole.sum())]
        truth[gone] = 0
    return seen, truth


def _finish(
    images: list[NDArray[np.uint8]],
    labels: list[NDArray[np.uint16]],
    size: int,
    objects: int,
    rng: np.random.Generator,
) -> Clip | None:
    """Bring the frames to the input's size, vary their looks, choose the objects."""
    side = labels[0].shape[0]
    areas = np.bincount(labels[0].ravel())
    areas[0] = 0
    visible = np.flatnonzero(areas >= max(9.0, side * side / (size / 6) ** 2))
    if len(visible) == 0:
        return None
    # large ones first: the object for which the clip was cut is one of them
    weight = np.sqrt(areas[visible].astype(float))
    count = min(objects, len(visible))
    ids = rng.choice(visible, count, replace=False, p=weight / weight.sum())
    resized = [
        np.asarray(Image.fromarray(i).resize((size, size), Image.Resampling.BILINEAR))
        for i in images
    ]
    turns, flip = int(rng.integers(4)), rng.random() < 0.5
    resized = [_turn(i, turns, flip) for i in resized]
    labels = [_turn(i, turns, flip) for i in labels]
    # looks are varied in one go: the contrast of a movie hardly changes, its noise does
    looks = jitter_looks(np.concatenate(resized), rng).reshape(len(images), size, size, 3)
    masks = np.stack(labels)[:, None] == ids[None, :, None, None]
    full = F.interpolate(
        torch.from_numpy(masks).float(), size=(size, size), mode="bilinear", antialias=True
    )
    stacked = np.stack([to_network(frame) for frame in looks])
    return Clip(torch.from_numpy(stacked), full >= 0.5)


def _turn(array: NDArray[Any], turns: int, flip: bool) -> NDArray[Any]:
    turned = np.rot90(array, turns)
    return np.ascontiguousarray(turned[:, ::-1] if flip else turned)


class ClipStream(torch.utils.data.IterableDataset[Clip]):
    """Endless random clips.

    Parameters
    ----------
    stacks, simulated, planes
        What to sample from; chosen in the shares ``shares``.
    frames, size, objects
        Frames in a clip, side of the input, objects followed at most.
    seed
        Of the random numbers.
    """

    def __init__(
        self,
        stacks: Sequence[Stack],
        simulated: Sequence[Stack],
        planes: Sequence[Plane],
        *,
        shares: Sequence[float],
        frames: int,
        size: int,
        objects: int,
        seed: int,
    ) -> None:
        self.sources = (list(stacks), list(simulated), list(planes))
        self.shares = np.array(shares) / sum(shares)
        self.frames, self.size, self.objects, self.seed = frames, size, objects, seed
        chance = np.sqrt([float(len(plane.ids)) for plane in planes])
        self.chance = chance / chance.sum()

    def __iter__(self) -> Iterator[Clip]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, 0 if worker is None else worker.id))
        while True:
            source = int(rng.choice(3, p=self.shares))
            members = self.sources[source]
            chance = self.chance if source == 2 else None
            chosen = members[int(rng.choice(len(members), p=chance))]
            make = clip_from_plane if source == 2 else clip_from_stack
            clip = make(chosen, self.frames, self.size, self.objects, rng)
            if clip is not None:
                yield clip
