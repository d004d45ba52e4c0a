"""A SAM or SAM 2 network as the engine sees it.

Objects are looked at in tiles of a fixed pyramid
(:mod:`~napari_cellprompt.core.images.tiles`) whose features are cached. Which tile it is
decides :mod:`.aim`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.images.tiles import (
    choose_magnification,
    read_tile,
    tile_for_box,
)
from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.inference.model import Answer, Query, Shown
from napari_cellprompt.core.inference.sam.encoding.encoder import PlaneEncoder
from napari_cellprompt.core.inference.sam.searching.grid import find_by_grid
from napari_cellprompt.core.inference.sam.searching.search import find_candidates
from napari_cellprompt.core.masks.crop import cut_candidate
from napari_cellprompt.core.masks.ellipse import rounded
from napari_cellprompt.core.masks.rle import decode as decode_rle
from napari_cellprompt.core.networks.sam.mask_decoder import DecoderOutput, single_is_stable
from napari_cellprompt.core.types import Prediction, Prompts, Tile

from .aim import Aim, Look
from .clicks import carried, clicks_of, near_click
from .decoding import decode_prompts, mask_to_logits
from .following.follower import SamFollower
from .recognition import memories_of, object_logits, tile_features
from .whole_image import whole_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.inference.following import FollowSettings
    from napari_cellprompt.core.inference.model import Sight
    from napari_cellprompt.core.inference.searching import SearchSettings
    from napari_cellprompt.core.masks.found import FoundObject
    from napari_cellprompt.core.types import CroppedMask, Rectangle
    from napari_cellprompt.core.zoo.traits import Traits

__all__ = ["SamModel"]

_BATCH = 32
"""Objects decoded together; bounds the memory that many prompts on one tile take."""
_COMPARED_SHARE = 0.09
"""Share of its tile at which an object is compared with examples."""


class SamModel(PlaneEncoder):
    """Predicts objects from prompts on planes of any size.

    Parameters as in :class:`.encoding.encoder.PlaneEncoder`.
    """

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

    @property
    def _aim(self) -> Aim:
        return Aim(self.image_size, self.traits)

    def ask(
        self,
        plane: PlaneSource,
        queries: Sequence[Query],
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Answer]:
        """Predict one object for each query; those on one tile are decoded together."""
        looks = [
            self._aim.first(plane.shape, item.prompts, item.size_hint, item.earlier)
            for item in queries
        ]
        waiting = looks
        while waiting:
            for tile, group in _by_tile(waiting):
                self._look(plane, tile, group, cancelled)
            waiting = [item for item in waiting if self._aim.again(plane.shape, item)]
        return [item.result for item in looks if item.result is not None]

    def prepare(
        self,
        plane: PlaneSource,
        prompts: Prompts,
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Encode the tile in which an object with these prompts is looked for first."""
        tile = self.tile_at(plane, prompts, size_hint=size_hint)
        self.features(plane, tile, cancelled=cancelled)

    def show(
        self,
        plane: PlaneSource,
        seen: Tile | Prompts,
        *,
        size_hint: float | None = None,
    ) -> Shown:
        """The pixels of a tile, or of the one that is looked at first for prompts."""
        if isinstance(seen, Prompts):
            seen = self.tile_at(plane, seen, size_hint=size_hint)
        return Shown(read_tile(plane, seen, self.image_size), seen)

    def tile_at(
        self, plane: PlaneSource, prompts: Prompts, *, size_hint: float | None = None
    ) -> Tile:
        """The tile in which an object with these prompts is looked for first."""
        return self._aim.first(plane.shape, prompts, size_hint).tile

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
        """Find all objects; see :mod:`.searching.search`, or ``grid`` there."""
        if settings.mode == "grid":
            masks = whole_image(self.loaded).mask_model()
            found = find_by_grid(masks, plane, settings.grid, region, cancelled)
        else:
            found = find_candidates(
                self, plane, settings, region=region, progress=progress, cancelled=cancelled
            )
        if arrived is not None:
            # its candidates are chosen among those of all tiles
            arrived(found)
        return found

    # -- comparing objects -----------------------------------------------------
    def describe(
        self, plane: PlaneSource, sights: Sequence[Sight], size: float
    ) -> NDArray[np.float32]:
        """What the image encoder says inside each mask, on average, ``(N, D)``."""
        return tile_features(self, plane, self._seen(plane, sights, size))

    def remember(
        self, plane: PlaneSource, sights: Sequence[Sight], size: float
    ) -> list[NDArray[np.float16] | None]:
        """The memory ``(mem_dim, h, w)`` of each object; None for SAM 1."""
        return memories_of(self, plane, self._seen(plane, sights, size))

    def recognise(
        self,
        plane: PlaneSource,
        sights: Sequence[Sight],
        size: float,
        memories: Sequence[NDArray[np.float16]],
    ) -> NDArray[np.float64]:
        """Object logits ``(N,)`` conditioned on the latest memories."""
        return object_logits(self, plane, self._seen(plane, sights, size), memories)

    def _seen(
        self, plane: PlaneSource, sights: Sequence[Sight], size: float
    ) -> list[tuple[CroppedMask, Tile]]:
        """The objects, each with a tile that fits their size where it has none."""
        side = self.image_size
        level = choose_magnification(size, side, share=_COMPARED_SHARE)
        return [
            (
                mask,
                tile_for_box(plane.shape, side, level, mask.box or (0, 0, 0, 0))
                if tile is None
                else tile,
            )
            for mask, tile in sights
        ]

    # -- following -------------------------------------------------------------
    def follower(self, stack: Stack, settings: FollowSettings) -> SamFollower:
        """Follows by memory where the network has one, else by the neighbour's mask."""
        remembers = self.loaded.spec.family == "sam2"
        if settings.method == "memory" and not remembers:
            raise PromptError(
                f"The model {self.name} has no memory to follow objects with: use "
                "cellprompt-nano or one of SAM 2, or the method neighbour."
            )
        if settings.method == "auto":
            settings = replace(settings, method="memory" if remembers else "neighbour")
        return SamFollower(self, stack, settings)

    # -- looking ---------------------------------------------------------------
    @torch.inference_mode()
    def _look(
        self,
        plane: PlaneSource,
        tile: Tile,
        group: list[Look],
        cancelled: Callable[[], bool] | None,
    ) -> None:
        """Predict all objects of one tile."""
        started = time.perf_counter()
        network = self.loaded.sam
        features = network.without_memory(self.features(plane, tile, cancelled=cancelled))
        for part in _batches(group):
            stop_if(cancelled)
            points, labels, logits = self._tensors(plane, tile, part)
            output = decode_prompts(
                network,
                features,
                points,
                labels,
                logits,
                drawing=self.loaded.spec.drawing,
                multimask=None,
            )
            ranked = _ranked(
                output,
                [item.prompts for item in part],
                ambiguous=self.traits.ambiguous,
            )
            scores = output.iou.gather(1, ranked).tolist()
            present = output.object_logits[:, 0].sigmoid().tolist()
            for row, item in enumerate(part):
                trust = [score * present[row] for score in scores[row]]
                masks = self._settled(
                    output.masks[row, ranked[row]], trust, item, plane.shape
                )
                # one object at a time: a coarse tile is many image pixels
                cropped = _upsample(masks, tile, plane.shape)
                candidates = tuple(
                    cut_candidate(
                        logit,
                        score,
                        origin=(tile.y0, tile.x0),
                        plane_shape=plane.shape,
                    )
                    for logit, score in zip(cropped, scores[row], strict=True)
                )
                seconds = time.perf_counter() - started
                if item.result is not None:
                    seconds += item.result.prediction.seconds
                elif item.earlier is not None:
                    seconds += item.earlier.prediction.seconds
                state = masks[None, :1]
                item.result = Answer(
                    Prediction(candidates, present[row], tile, seconds),
                    state,
                    state.element_size() * state.nelement(),
                )
                item.looks += 1
                item.seen.add(tile)

    def _settled(
        self, masks: Tensor, trust: Sequence[float], item: Look, shape: tuple[int, int]
    ) -> Tensor:
        """The network's masks ``(3, s, s)`` as they are offered, each trusted so far.

        A corrective click changes what it is about; first answers are drawn towards
        ellipses; where the model's traits say so.
        """
        prompts, tile = item.prompts, item.tile
        if prompts.mask is not None:
            return masks
        scale = masks.shape[-1] / self.image_size

        def place(x: float, y: float) -> tuple[float, float]:
            column, row = tile.to_tile((x, y)).tolist()
            return (column + 0.5) * scale - 0.5, (row + 0.5) * scale - 0.5

        def edges(x0: float, y0: float, x1: float, y1: float) -> Rectangle:
            # edges of pixels lie half a pixel off their centres
            return (*place(x0 - 0.5, y0 - 0.5), *place(x1 - 0.5, y1 - 0.5))

        if item.earlier is not None:
            if not self.traits.corrects_locally:
                return masks
            before = carried(item.earlier, tile).to(masks.device)
            return near_click(masks, before, place(*prompts.points[-1]))
        if not self.traits.rounds:
            return masks
        if prompts.box is not None:
            height, width = shape
            plane = edges(0, 0, width, height)
            return rounded(masks, trust, box=edges(*prompts.box), plane=plane)
        click = prompts.points[-1] if prompts.points else prompts.anchor
        return rounded(masks, trust, click=place(*click))

    def _tensors(
        self, plane: PlaneSource, tile: Tile, group: Sequence[Look]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Points and labels in the tile's pixels, padded with label -1, and mask logits."""
        rows: list[list[tuple[float, float, int]]] = []
        for item in group:
            row: list[tuple[float, float, int]] = []
            if item.prompts.box is not None:
                # a box is given by the edges of its pixels, half a pixel off their centres
                x0, y0, x1, y1 = (edge - 0.5 for edge in item.prompts.box)
                row += [(x0, y0, 2), (x1, y1, 3)]
            for x, y, label in clicks_of(item.prompts, plane.shape):
                # a background click beyond the tile says nothing about what is in it
                if label or tile.holds(x, y):
                    row.append((x, y, label))
            rows.append(row)
        longest = max(len(row) for row in rows)
        table = np.zeros((len(rows), longest, 3), dtype=np.float64)
        table[..., 2] = -1
        for number, row in enumerate(rows):
            if row:
                table[number, : len(row)] = row
        points = np.where(table[..., 2:] >= 0, tile.to_tile(table[..., :2]), 0)
        device = self.loaded.device
        logits = None
        if any(item.guided for item in group):
            logits = torch.cat(
                [self._mask_logits(plane, tile, item).to(device) for item in group]
            )
        return (
            torch.from_numpy(points.astype(np.float32)).to(device),
            torch.from_numpy(table[..., 2].astype(np.int32)).to(device),
            logits,
        )

    def _mask_logits(self, plane: PlaneSource, tile: Tile, item: Look) -> Tensor:
        """The mask prompt of an object as logits of a tile, ``(1, 1, S/4, S/4)``."""
        side = self.image_size // 4
        if item.prompts.mask is None:
            if item.earlier is None:
                return torch.zeros(1, 1, side, side)
            return carried(item.earlier, tile)
        mask = decode_rle(item.prompts.mask)
        y0, y1, x0, x1 = tile.crop(plane.shape)
        canvas = np.zeros((tile.size, tile.size), dtype=np.float32)
        canvas[: y1 - y0, : x1 - x0] = mask[y0:y1, x0:x1]
        return mask_to_logits(torch.from_numpy(canvas)[None, None], side)


def _by_tile(items: Sequence[Look]) -> list[tuple[Tile, list[Look]]]:
    groups: dict[Tile, list[Look]] = {}
    for item in items:
        groups.setdefault(item.tile, []).append(item)
    return list(groups.items())


def _batches(items: Sequence[Look]) -> Iterator[list[Look]]:
    """Groups to decode together; for SAM no mask is not the same as an empty one."""
    for guided in (False, True):
        chosen = [item for item in items if item.guided is guided]
        for start in range(0, len(chosen), _BATCH):
            yield chosen[start : start + _BATCH]


def _ranked(
    output: DecoderOutput, prompts: Sequence[Prompts], *, ambiguous: bool
) -> Tensor:
    """Which three of the four masks of each object to offer, best first, ``(N, 3)``.

    A single click may mean a whole, a part or a part of a part, for which SAM has three
    masks; everything else has one answer, unless that is unstable. A model that
    is not ``ambiguous`` knows cells, not parts: its one answer is the best to any prompt.
    """
    stable = single_is_stable(output.masks)
    ranks = []
    for row, item in enumerate(prompts):
        several = (output.iou[row, 1:].argsort(descending=True) + 1).tolist()
        single_click = len(item.points) == 1 and not item.strokes
        several_meant = single_click and not item.outlined
        single = not ambiguous or (bool(stable[row]) and not several_meant)
        ranks.append([0, *several][:3] if single else several)
    return torch.tensor(ranks, device=output.iou.device)


def _upsample(logits: Tensor, tile: Tile, shape: tuple[int, int]) -> np.ndarray:
    """Logits ``(M, S/4, S/4)`` of a tile at image resolution, cut to the image."""
    y0, y1, x0, x1 = tile.crop(shape)
    full = F.interpolate(logits[None].float(), size=(tile.size, tile.size), mode="bilinear")
    return full[0, :, : y1 - y0, : x1 - x0].cpu().numpy()
