"""How all objects of a plane are looked for, without a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GridSettings", "Mode", "SearchSettings"]

Mode = Literal["auto", "grid"]


@dataclass(frozen=True, slots=True)
class GridSettings:
    """What :func:`generate` looks for; defaults as in the interface of the predictors."""

    crop_n_layers: int = 0
    """Layer n cuts the image into 4**n overlapping crops, in addition to the whole."""
    crop_overlap_ratio: float = 512 / 1500
    """Overlap of the crops of layer 1, as a share of the image's shorter side."""
    crop_downscale_factor: int = 1
    """Layer n has ``points_stride / crop_downscale_factor**n`` clicks per side."""
    point_grids: Sequence[NDArray[np.floating[Any]]] | None = None
    """Per layer ``(N, 2)`` x, y in 0..1 of the crop, in place of the regular grid."""
    points_stride: int = 32
    """Clicks per side of the whole image."""
    points_batch_size: int = 64
    """Clicks decoded together."""
    conf_thres: float = 0.88
    """Masks stay when their predicted IoU is above it."""
    stability_score_thresh: float = 0.95
    """Masks stay when their stability reaches it."""
    stability_score_offset: float = 0.95
    """How far the threshold moves up and down to find the stability."""
    crop_nms_thresh: float = 0.7
    """Overlap of boxes from different crops above which one is a duplicate."""
    nms_thresh: float = 0.7
    """The same within one crop."""

    def __post_init__(self) -> None:
        for name in ("conf_thres", "stability_score_thresh", "crop_nms_thresh"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} must lie between 0 and 1: got {getattr(self, name)}."
                )
        if not 0 <= self.crop_overlap_ratio < 1:
            raise ValueError(
                "crop_overlap_ratio must be at least 0 and below 1: "
                f"got {self.crop_overlap_ratio}."
            )
        if self.crop_n_layers < 0:
            raise ValueError(
                f"crop_n_layers must not be negative: got {self.crop_n_layers}."
            )
        for name in ("points_stride", "points_batch_size", "crop_downscale_factor"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: got {getattr(self, name)}.")
        if self.stability_score_offset < 0:
            raise ValueError(
                "stability_score_offset must not be negative: "
                f"got {self.stability_score_offset}."
            )
        self.grids()

    def grids(self) -> list[NDArray[np.float64]]:
        """The clicks of each layer, ``(N, 2)`` x, y in 0..1 of a crop."""
        layers = self.crop_n_layers + 1
        if self.point_grids is None:
            sides = [
                int(self.points_stride / self.crop_downscale_factor**n)
                for n in range(layers)
            ]
            if sides[-1] < 1:
                raise ValueError(
                    f"points_stride {self.points_stride} leaves no click in layer "
                    f"{self.crop_n_layers} at crop_downscale_factor "
                    f"{self.crop_downscale_factor}."
                )
            return [_regular_grid(side) for side in sides]
        grids = [np.asarray(grid, dtype=np.float64) for grid in self.point_grids]
        if len(grids) < layers:
            raise ValueError(
                f"point_grids must hold one grid for each of the {layers} layers: "
                f"got {len(grids)}."
            )
        for grid in grids:
            if grid.ndim != 2 or grid.shape[1] != 2 or len(grid) == 0:
                raise ValueError(f"each of point_grids must be (N, 2): got {grid.shape}.")
            if grid.min() < 0 or grid.max() > 1:
                raise ValueError("point_grids must hold x, y between 0 and 1.")
        return grids[:layers]


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How :meth:`Model.find` looks; the defaults are tuned on training images."""

    mode: Mode = "auto"
    """``auto``: as suits the model, at the size of the cells; ``grid``: the automatic mask
    generator of SAM on the whole plane, with models of that family."""
    size: float | None = None
    """Longer side of the objects in image pixels; None: found from the image."""
    spacing: float = 56.0
    """Distance of the clicks of a coarse grid in model pixels, for models that click."""
    min_object_score: float = 0.7
    """Answers below it are background."""
    min_score: float = 0.5
    """Predicted IoU below which an answer is not looked at further."""
    refine: bool | None = None
    """Ask once more with the box of what was found; None: as the model's traits say."""
    grid: GridSettings = field(default_factory=GridSettings)
    """For the mode ``grid``."""

    def __post_init__(self) -> None:
        if self.mode not in ("auto", "grid"):
            raise ValueError(f"mode must be auto or grid: got {self.mode}.")


def _regular_grid(side: int) -> NDArray[np.float64]:
    """Centres of ``side`` x ``side`` equal cells, row by row, ``(side**2, 2)``."""
    ticks = np.linspace(1 / (2 * side), 1 - 1 / (2 * side), side)
    x, y = np.meshgrid(ticks, ticks)
    return np.stack((x, y), axis=-1).reshape(-1, 2)
