"""Chooses objects of a crop and simulates what a user would click or draw."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from augment import cut, jitter_looks, repaint, to_network
from auxiliary import dense_targets
from data import SMALLEST_AREA, Plane, make_plane
from looks import render
from mask_prompts import disturbed, mask_prompt, moved_to_nothing
from shapes import label_map

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from augment import Crop

__all__ = [
    "Batch",
    "BatchStream",
    "collate",
    "corrective_clicks",
    "sample",
    "synthetic_plane",
]

NOTHING_SHARE = 0.1
"""Share of clicks, and of masks, that are set where no object is."""
KIND_SHARES = (0.4, 0.3, 0.3)
"""Of the objects of an image: clicked, boxed, prompted by a mask."""
SYNTHETIC_SHARE = 0.12
"""Of the images: made up altogether, objects and looks."""
REPAINTED_SHARE = 0.2
"""Of the images: real objects with made-up looks."""
SYNTHETIC = "synthetic"
"""Modality of planes that are made up."""
SYNTHETIC_SIDE = 384
"""Of a plane that is made up, pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B images; the first n objects of each are clicked, the next m boxed, k masked."""

    images: Tensor
    """``(B, 3, S, S)``."""
    clicks: Tensor
    """``(B, n, 1, 2)`` x, y in input pixels."""
    clicked: Tensor
    """``(B, n, S/4, S/4)``, the share of each cell that the object covers."""
    boxes: Tensor
    """``(B, m, 2, 2)``, top-left and bottom-right corners in input pixels."""
    boxed: Tensor
    """``(B, m, S/4, S/4)``."""
    masks: Tensor
    """``(B, k, 1, S/4, S/4)`` logits of masks that are about right."""
    masked: Tensor
    """``(B, k, S/4, S/4)``; all zero where the mask lies on nothing."""
    maps: Tensor
    """``(B, 5, S/4, S/4)``, what :func:`auxiliary.dense_targets` says of every pixel."""

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, its images in the layout that convolutions like."""
        moved = {
            item.name: getattr(self, item.name).to(device, non_blocking=True)
            for item in fields(self)
        }
        layout = torch.channels_last
        return Batch(**moved | {"images": moved["images"].contiguous(memory_format=layout)})

    def pin_memory(self) -> Batch:
        """The batch in memory that a GPU can copy from by itself."""
        return Batch(*(getattr(self, item.name).pin_memory() for item in fields(self)))


class BatchStream(torch.utils.data.IterableDataset[Batch]):
    """Endless random batches.

    Parameters
    ----------
    planes
        What to sample from.
    weights
        Relative frequency of each modality.
    size
        Side of the input in pixels.
    images, objects
        Images per batch and objects per image (even).
    seed
        Of the random numbers.
    """

    def __init__(
        self,
        planes: Sequence[Plane],
        weights: Mapping[str, float],
        *,
        size: int,
        images: int,
        objects: int,
        seed: int,
    ) -> None:
        self.planes = list(planes)
        self.size, self.images, self.objects, self.seed = size, images, objects, seed
        # within a modality, crowded images come more often, but less than in proportion
        chance = np.sqrt([float(len(plane.ids)) for plane in self.planes])
        modalities = np.array([plane.modality for plane in self.planes])
        for modality in set(modalities):
            members = modalities == modality
            chance[members] *= weights[modality] / chance[members].sum()
        self.chance = chance / chance.sum()

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self.seed, 0 if worker is None else worker.id))
        while True:
            chosen = rng.choice(len(self.planes), self.images, p=self.chance)
            planes = [
                synthetic_plane(SYNTHETIC_SIDE, rng)
                if rng.random() < SYNTHETIC_SHARE
                else self.planes[i]
                for i in chosen
            ]
            yield collate([sample(plane, self.size, self.objects, rng) for plane in planes])


def collate(samples: Sequence[Batch]) -> Batch:
    """Join batches of one image."""
    return Batch(
        *(torch.cat([getattr(one, item.name) for one in samples]) for item in fields(Batch))
    )


def sample(plane: Plane, size: int, objects: int, rng: np.random.Generator) -> Batch:
    """One random crop of a plane with its prompts, as a batch of one image."""
    crop = cut(plane, size, rng)
    if plane.modality != SYNTHETIC and rng.random() < REPAINTED_SHARE:
        crop = repaint(crop, size, rng)
    image = to_network(jitter_looks(crop.image, rng))
    ids = _visible(crop, size, objects, rng)
    truth = crop.labels[None] == ids[:, None, None]
    scale = np.array((size / crop.labels.shape[1], size / crop.labels.shape[0]))
    clicked = round(KIND_SHARES[0] * objects)
    boxed = clicked + round(KIND_SHARES[1] * objects)
    clicks = np.zeros((clicked, 1, 2), np.float32)
    background = crop.labels == 0
    for row in range(clicked):
        if rng.random() < NOTHING_SHARE and background.any():
            truth[row] = False
            x, y = _nothing(background, rng)
        else:
            x, y = _click(truth[row], rng)
        clicks[row, 0] = (np.array((x, y)) + 0.5) * scale - 0.5
    boxes = np.stack([_box(mask, scale, size, rng) for mask in truth[clicked:boxed]])
    stacked = np.concatenate((truth, ~background[None]))
    covers = F.interpolate(
        torch.from_numpy(stacked)[None].float(),
        size=(size // 4, size // 4),
        mode="bilinear",
        antialias=True,
    )
    targets = covers[:, :-1]
    masks = _masks(targets[0, boxed:], covers[0, -1].numpy() > 0.3, rng)
    return Batch(
        torch.from_numpy(image)[None],
        torch.from_numpy(clicks)[None],
        targets[:, :clicked],
        torch.from_numpy(boxes)[None],
        targets[:, clicked:boxed],
        masks[None],
        targets[:, boxed:],
        torch.from_numpy(dense_targets(crop.labels, size))[None],
    )


def _masks(
    targets: Tensor, occupied: NDArray[np.bool_], rng: np.random.Generator
) -> Tensor:
    """Mask prompts ``(k, 1, n, n)``; the targets of those on nothing are emptied."""
    prompts = []
    for target in targets:
        cover = target.numpy()
        if rng.random() < NOTHING_SHARE:
            moved = moved_to_nothing(cover, occupied, rng)
            if moved is not None:
                prompts.append(mask_prompt(moved, rng))
                target.zero_()
                continue
        prompts.append(
            mask_prompt(disturbed(cover, rng, strength=rng.uniform(0.1, 1.0)), rng)
        )
    return torch.from_numpy(np.stack(prompts))[:, None]


def synthetic_plane(side: int, rng: np.random.Generator) -> Plane:
    """A plane that is made up altogether."""
    while True:
        labels = label_map(side, rng)
        plane = make_plane(
            SYNTHETIC, SYNTHETIC, render(labels, rng), labels, smallest=SMALLEST_AREA
        )
        if len(plane.ids):
            return plane


def _visible(
    crop: Crop, size: int, count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Ids of ``count`` objects in a crop; some come twice where there are fewer."""
    areas = np.bincount(crop.labels.ravel())
    areas[0] = 0
    cell = crop.labels.size / (size // 4) ** 2
    candidates = np.flatnonzero(areas >= max(9.0, 2 * cell))
    if len(candidates) == 0:
        candidates = np.array([crop.chosen])
    if len(candidates) >= count:
        ids = rng.choice(candidates, count, replace=False)
        if crop.chosen in candidates and crop.chosen not in ids:
            ids[int(rng.integers(count))] = crop.chosen
        return ids
    fill = rng.choice(candidates, count - len(candidates))
    return rng.permutation(np.concatenate((candidates, fill)))


def _click(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int]:
    """The innermost pixel of an object, or any pixel well inside of it."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    y0, x0 = rows[0], columns[0]
    inner = np.pad(mask[y0 : rows[-1] + 1, x0 : columns[-1] + 1], 1)
    depth = ndimage.distance_transform_edt(inner)
    if rng.random() < 0.5:
        place = int(depth.argmax())
    else:
        place = int(rng.choice(np.flatnonzero(depth >= 0.3 * depth.max())))
    y, x = divmod(place, inner.shape[1])
    return int(x0 + x - 1), int(y0 + y - 1)


def _nothing(background: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int]:
    """A pixel that belongs to no object and does not touch one."""
    clear = ndimage.binary_erosion(background, iterations=2)
    places = np.flatnonzero(clear if clear.any() else background)
    y, x = divmod(int(rng.choice(places)), background.shape[1])
    return x, y


def _box(
    mask: NDArray[np.bool_], scale: NDArray[np.float64], size: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The bounding box of an object in input pixels, drawn a little carelessly."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    corners = np.array(
        ((columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)), dtype=np.float64
    )
    corners *= scale
    sides = corners[1] - corners[0]
    if rng.random() < 0.75:
        slip = rng.normal(0.0, 0.035, (2, 2)) * sides + rng.normal(0.0, 0.7, (2, 2))
        corners += np.clip(slip, -0.1 * sides - 1, 0.1 * sides + 1)
    corners[1] = np.maximum(corners[1], corners[0] + 3)
    return np.clip(corners - 0.5, 0, size - 1).astype(np.float32)


def corrective_clicks(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The click that a user would add: into the deepest spot of what is wrong.

    Parameters
    ----------
    logits, targets
        ``(N, S/4, S/4)``.

    Returns
    -------
    points, labels : Tensor
        ``(N, 1, 2)`` float32 in input pixels; ``(N, 1)``, 1 where a part is
        missing, 0 where there is too much, -1 where nothing is wrong.
    """
    predicted = (logits > 0).cpu().numpy()
    truth = (targets > 0.5).cpu().numpy()
    points = torch.zeros(len(truth), 1, 2)
    labels = torch.full((len(truth), 1), -1, dtype=torch.int32)
    for row, (mask, wanted) in enumerate(zip(predicted, truth, strict=True)):
        wrong = mask != wanted
        if not wrong.any():
            continue
        depth = ndimage.distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
        y, x = divmod(int(depth.argmax()), wrong.shape[1])
        points[row, 0, 0], points[row, 0, 1] = x * 4 + 1.5, y * 4 + 1.5
        labels[row, 0] = int(wanted[y, x])
    return points.to(logits.device), labels.to(logits.device)
