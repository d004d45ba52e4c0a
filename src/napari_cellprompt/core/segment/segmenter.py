"""Predicts objects on a plane of any size, each at a scale the model resolves.

Objects are looked at in tiles of a fixed pyramid (:mod:`..images.tiles`) whose
features are cached. Which tile it is decides :mod:`.aim`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.images.tiles import read_tile
from napari_cellprompt.core.inference.cache import FeatureCache
from napari_cellprompt.core.inference.decoding import decode_prompts, mask_to_logits
from napari_cellprompt.core.inference.feature_files import FeatureFiles
from napari_cellprompt.core.inference.fingerprint import model_fingerprint
from napari_cellprompt.core.inference.out_of_memory import (
    free_memory,
    is_out_of_memory,
    out_of_memory,
)
from napari_cellprompt.core.inference.precision import Precision, precision_of
from napari_cellprompt.core.inference.preprocess import normalise
from napari_cellprompt.core.masks.crop import cut_candidate
from napari_cellprompt.core.masks.ellipse import rounded
from napari_cellprompt.core.masks.rle import decode as decode_rle
from napari_cellprompt.core.networks.mask_decoder import DecoderOutput, single_is_stable
from napari_cellprompt.core.networks.sam2 import ImageFeatures
from napari_cellprompt.core.types import Prediction, Prompts, Tile
from napari_cellprompt.core.zoo.load import LoadedModel

from .aim import Aim, Look
from .clicks import Step, carried, near_click, says_nothing, steps_of
from .extent import check_prompts, is_outlined

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DEFAULT_CACHE_BYTES", "PlaneSegmenter", "View", "stop_if"]

DEFAULT_CACHE_BYTES = 512 * 1024**2
_BATCH = 32
"""Objects decoded together; bounds the memory that many prompts on one tile take."""

_STEPS_BYTES = 16 * 1024**2
"""For the logits of earlier clicks, 64 kB each at 512 x 512."""

Box = tuple[float, float, float, float]


class View(Protocol):
    """Another part of a plane than a tile; hashable, since it names cached features."""

    def __hash__(self) -> int: ...

    def read(self, plane: PlaneSource, imgsz: int) -> NDArray[np.uint8]:
        """What the network sees, ``(imgsz, imgsz, 3)`` uint8."""


class PlaneSegmenter:
    """Predicts objects from prompts on planes of any size.

    Parameters
    ----------
    model
        Network and how it wants its prompts.
    cache
        Where features of tiles are kept; default one of 512 MB. May be shared
        between segmenters: the model is part of the key.
    precision
        What the image encoder computes in; default what suits the device. Masks and
        scores are float32 in any case.
    files
        Where features are looked for that are not in ``cache``, and kept beyond the end
        of the process; default nowhere.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        cache: FeatureCache[ImageFeatures] | None = None,
        precision: Precision | None = None,
        files: FeatureFiles | None = None,
    ) -> None:
        self.model = model
        self.files = files
        self.precision = precision_of(model.device) if precision is None else precision
        self.cache: FeatureCache[ImageFeatures] = (
            FeatureCache(DEFAULT_CACHE_BYTES) if cache is None else cache
        )
        self._steps: FeatureCache[Step] = FeatureCache(_STEPS_BYTES)

    @property
    def image_size(self) -> int:
        """Side of the model's square input in pixels."""
        return self.model.network.image_size

    def predict(
        self,
        plane: PlaneSource,
        prompts: Prompts,
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Prediction:
        """Predict one object.

        Parameters
        ----------
        plane
            What to look at.
        prompts
            At least one point, a box or a mask, inside the plane.
        size_hint
            Expected longer side of the object in pixels, such as that of the last
            one; used where the prompts do not tell.
        cancelled
            Asked before each slow step.

        Returns
        -------
        Prediction
            Three masks that the prompts may mean, the likeliest first.

        Raises
        ------
        PromptError
            Where prompts are empty or outside the plane.
        concurrent.futures.CancelledError
            Where ``cancelled`` said so.
        """
        return self.predict_many(
            plane, [prompts], size_hint=size_hint, cancelled=cancelled
        )[0]

    def predict_many(
        self,
        plane: PlaneSource,
        prompts: Sequence[Prompts],
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Prediction]:
        """Predict several objects; those on the same tile are decoded together.

        Parameters, errors and each result are as in :meth:`predict`.
        """
        for item in prompts:
            check_prompts(item, plane.shape)
        steps = [steps_of(item) for item in prompts]
        begun = [self._begun(plane, item, size_hint) for item in steps]
        done = [step for step, _ in begun]
        left = [len(item) - known for item, (_, known) in zip(steps, begun, strict=True)]
        # those with most clicks first, so that all end with their last step together
        for count in range(max(left, default=0), 0, -1):
            looks: dict[int, Look] = {}
            for row, number in enumerate(left):
                asked = steps[row][-count] if number >= count else None
                if asked is not None and not says_nothing(asked, done[row]):
                    looks[row] = self._aim.first(
                        plane.shape, asked, size_hint, earlier=done[row]
                    )
            self._predict(plane, list(looks.values()), cancelled)
            for row, look in looks.items():
                done[row] = step = look.result
                if step is not None:
                    key = (plane.key, look.prompts, size_hint)
                    self._steps.put(key, step, step.nbytes)
        return [step.prediction for step in done if step is not None]

    def _begun(
        self, plane: PlaneSource, steps: Sequence[Prompts], size_hint: float | None
    ) -> tuple[Step | None, int]:
        """The latest step before the last that is known, and how many that leaves out."""
        for count in range(len(steps) - 1, 0, -1):
            step = self._steps.get((plane.key, steps[count - 1], size_hint))
            if step is not None:
                return step, count
        return None, 0

    def _predict(
        self,
        plane: PlaneSource,
        waiting: list[Look],
        cancelled: Callable[[], bool] | None,
    ) -> None:
        """Look at objects until each has been seen in a tile that suits it."""
        aim = self._aim
        while waiting:
            for tile, group in _by_tile(waiting):
                self._look(plane, tile, group, cancelled)
            waiting = [item for item in waiting if aim.again(plane.shape, item)]

    def prepare(
        self,
        plane: PlaneSource,
        xy: tuple[float, float],
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Compute the features that a click at ``xy`` will need."""
        tile = self.tile_at(plane, Prompts(points=(xy,), labels=(1,)), size_hint=size_hint)
        with torch.inference_mode():
            self.features(plane, tile, cancelled=cancelled)

    def tile_at(
        self, plane: PlaneSource, prompts: Prompts, *, size_hint: float | None = None
    ) -> Tile:
        """The tile in which an object with these prompts is looked for first."""
        check_prompts(prompts, plane.shape)
        return self._aim.first(plane.shape, prompts, size_hint).tile

    @property
    def _aim(self) -> Aim:
        return Aim(self.image_size, drawn=self.model.spec.drawing is not None)

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
        features = self.model.network.without_memory(
            self.features(plane, tile, cancelled=cancelled)
        )
        for part in _batches(group):
            stop_if(cancelled)
            points, labels, logits = self._tensors(plane, tile, part)
            output = decode_prompts(
                self.model.network,
                features,
                points,
                labels,
                logits,
                drawing=self.model.spec.drawing,
                multimask=None,
            )
            ranked = _ranked(
                output,
                [item.prompts for item in part],
                drawn=self.model.spec.drawing is not None,
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
                item.result = Step(
                    Prediction(candidates, present[row], tile, seconds),
                    masks[None, :1],
                )
                item.looks += 1
                item.seen.add(tile)

    def _settled(
        self, masks: Tensor, trust: Sequence[float], item: Look, shape: tuple[int, int]
    ) -> Tensor:
        """The network's masks ``(3, s, s)`` as they are offered, each trusted so far.

        A corrective click changes what it is about; first answers are drawn towards
        ellipses. Masks of models other than the bundled kind stay as they are.
        """
        prompts, tile = item.prompts, item.tile
        if self.model.spec.drawing is None or prompts.mask is not None:
            return masks
        scale = masks.shape[-1] / self.image_size

        def place(x: float, y: float) -> tuple[float, float]:
            column, row = tile.to_tile((x, y)).tolist()
            return (column + 0.5) * scale - 0.5, (row + 0.5) * scale - 0.5

        def edges(x0: float, y0: float, x1: float, y1: float) -> Box:
            # edges of pixels lie half a pixel off their centres
            return (*place(x0 - 0.5, y0 - 0.5), *place(x1 - 0.5, y1 - 0.5))

        if prompts.box is not None and item.earlier is None:
            height, width = shape
            plane = edges(0, 0, width, height)
            return rounded(masks, trust, box=edges(*prompts.box), plane=plane)
        click = place(*prompts.points[-1])
        if item.earlier is None:
            return rounded(masks, trust, click=click)
        before = carried(item.earlier, tile).to(masks.device)
        return near_click(masks, before, click)

    @torch.inference_mode()
    def features(
        self,
        plane: PlaneSource,
        view: Tile | View,
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> ImageFeatures:
        """What the image encoder knows of a part of a plane, from the cache or computed.

        Without the no-memory code (``network.without_memory`` adds it), so that clicks
        and propagation share what was computed.

        Parameters
        ----------
        plane
            What to look at.
        view
            The part of it that the network sees.
        cancelled
            Asked before the encoder runs.

        Raises
        ------
        concurrent.futures.CancelledError
            Where ``cancelled`` said so.
        """
        key = (plane.key, view, str(self.model.source), self.image_size)
        found = self.cache.get(key)
        if found is None:
            stop_if(cancelled)
            if isinstance(view, Tile):
                pixels = read_tile(plane, view, self.image_size)
            else:
                pixels = view.read(plane, self.image_size)
            found = self._filed(pixels)
            self.cache.put(key, found, found.nbytes)
        return found

    def _filed(self, pixels: NDArray[np.uint8]) -> ImageFeatures:
        """Features of ``(S, S, 3)``, read from a file where there is one."""
        if self.files is None:
            return self._encode(pixels)
        name = self.files.name(pixels, self._network_name)
        found = self.files.get(name)
        if found is None:
            found = self._encode(pixels)
            self.files.put(name, found)
            return found
        device = self.model.device
        levels = tuple(level.to(device) for level in found.high_res)
        return ImageFeatures(found.embed.to(device), levels)

    @cached_property
    def _network_name(self) -> str:
        """Identity of the weights and of what they compute in."""
        return f"{model_fingerprint(self.model)} {self.precision.dtype}"

    def _encode(self, pixels: NDArray[np.uint8]) -> ImageFeatures:
        """Features of ``(S, S, 3)`` in float32; room is made where there is none."""

        def encode() -> ImageFeatures:
            device = self.model.device
            x = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float() / 255
            x = normalise(x).contiguous(memory_format=torch.channels_last)
            dtype = getattr(torch, self.precision.dtype)
            narrow = dtype != torch.float32
            with torch.autocast(device.type, dtype if narrow else None, enabled=narrow):
                found = self.model.network.frame_features(x)
            return ImageFeatures(
                found.embed.float(), tuple(level.float() for level in found.high_res)
            )

        try:
            return encode()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # beyond that block, so that the error lets go of the tensors it saw
        self.cache.clear()
        free_memory()
        try:
            return encode()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory() from error

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
            for (x, y), label in zip(item.prompts.points, item.prompts.labels, strict=True):
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
        device = self.model.device
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


def stop_if(cancelled: Callable[[], bool] | None) -> None:
    """Raise ``concurrent.futures.CancelledError`` where ``cancelled`` says so."""
    if cancelled is not None and cancelled():
        raise CancelledError


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


def _ranked(output: DecoderOutput, prompts: Sequence[Prompts], *, drawn: bool) -> Tensor:
    """Which three of the four masks of each object to offer, best first, ``(N, 3)``.

    A single click may mean a whole, a part or a part of a part, for which SAM has three
    masks; everything else has one answer, unless that is unstable. A model that takes
    drawn prompts knows cells, not parts, and its one answer is the best to any prompt.
    """
    stable = single_is_stable(output.masks)
    ranks = []
    for row, item in enumerate(prompts):
        several = (output.iou[row, 1:].argsort(descending=True) + 1).tolist()
        ambiguous = len(item.points) == 1 and not is_outlined(item)
        single = drawn or (bool(stable[row]) and not ambiguous)
        ranks.append([0, *several][:3] if single else several)
    return torch.tensor(ranks, device=output.iou.device)


def _upsample(logits: Tensor, tile: Tile, shape: tuple[int, int]) -> np.ndarray:
    """Logits ``(M, S/4, S/4)`` of a tile at image resolution, cut to the image."""
    y0, y1, x0, x1 = tile.crop(shape)
    full = F.interpolate(logits[None].float(), size=(tile.size, tile.size), mode="bilinear")
    return full[0, :, : y1 - y0, : x1 - x0].cpu().numpy()
