"""What a predictor returns for one image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_cellprompt.core.masks.labels import resolve_overlaps

from .types import Candidate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

__all__ = ["Boxes", "Masks", "Results"]


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """The boxes of N masks."""

    data: Any
    """``(N, 6)`` float32: x0, y0, x1, y1, score, class; a tensor or an array."""

    @property
    def xyxy(self) -> Any:
        """``(N, 4)`` in pixels, x1 and y1 exclusive; zeros where a mask is empty."""
        return self.data[:, :4]

    @property
    def conf(self) -> Any:
        """``(N,)`` predicted IoU."""
        return self.data[:, 4]

    @property
    def cls(self) -> Any:
        """``(N,)`` class; always 0."""
        return self.data[:, 5]

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.data)


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """N masks at the size of the image."""

    data: Any
    """``(N, H, W)`` bool; a tensor or an array."""

    @property
    def xy(self) -> list[NDArray[np.float64]]:
        """The longest outline of each mask, ``(K, 2)`` x, y; K is 0 when it is empty."""
        from skimage.measure import find_contours

        outlines = []
        for mask in np.asarray(self.data):
            padded = np.pad(mask, 1).astype(np.float32)
            contours = find_contours(padded, 0.5)
            longest = max(contours, key=len) if contours else np.zeros((0, 2))
            outlines.append(longest[:, ::-1] - 1)
        return outlines

    def __len__(self) -> int:
        """Number of masks."""
        return len(self.data)


class Results:
    """Masks, boxes and scores of the objects of one image, in the order of the prompts.

    Parameters
    ----------
    orig_img
        The image as it was given.
    objects
        One per mask.
    ids
        The name of each object in a label image; default 1 to N.
    shape
        ``(H, W)`` of the image.
    path
        Where the image came from; empty for an array.
    speed
        Milliseconds per stage.
    low_res
        ``(N, S/4, S/4)`` logits clamped to +-32, to be given as ``masks`` with
        the next prompts; None where objects were predicted on different tiles.
    """

    def __init__(
        self,
        *,
        orig_img: Any,
        objects: Sequence[Candidate],
        shape: tuple[int, int],
        ids: Sequence[int] | None = None,
        path: str | Path = "",
        speed: dict[str, float] | None = None,
        low_res: Tensor | None = None,
        _as_numpy: bool = False,
    ) -> None:
        self.orig_img = orig_img
        self.path = str(path)
        self.names = {0: "object"}
        self.objects = tuple(objects)
        self.ids = tuple(range(1, len(self.objects) + 1) if ids is None else ids)
        if len(self.ids) != len(self.objects):
            raise ValueError(
                f"ids must name each of the {len(self.objects)} objects: "
                f"got {len(self.ids)}."
            )
        self.shape = shape
        self.speed = dict(speed or {})
        self.low_res = low_res
        self._as_numpy = _as_numpy

    @property
    def masks(self) -> Masks | None:
        """The masks; None when there are no objects."""
        if not self.objects:
            return None
        data = np.stack([item.mask.to_plane() for item in self.objects])
        return Masks(data if self._as_numpy else torch.from_numpy(data))

    @property
    def boxes(self) -> Boxes:
        """The boxes of the masks with their scores."""
        rows = [
            (*(item.mask.box or (0, 0, 0, 0)), item.score, 0.0) for item in self.objects
        ]
        data = np.asarray(rows, dtype=np.float32).reshape(-1, 6)
        return Boxes(data if self._as_numpy else torch.from_numpy(data))

    def __len__(self) -> int:
        """Number of objects, empty ones included."""
        return len(self.objects)

    def __getitem__(self, index: int | slice) -> Results:
        """Only some of the objects."""
        picked = slice(index, index + 1 or None) if isinstance(index, int) else index
        return self._copy(
            objects=self.objects[picked],
            ids=self.ids[picked],
            low_res=None if self.low_res is None else self.low_res[picked],
        )

    def __iter__(self) -> Iterator[Results]:
        """One ``Results`` per object."""
        return (self[index] for index in range(len(self)))

    def _copy(self, **changes: Any) -> Results:
        settings: dict[str, Any] = {
            "orig_img": self.orig_img,
            "objects": self.objects,
            "shape": self.shape,
            "ids": self.ids,
            "path": self.path,
            "speed": self.speed,
            "low_res": self.low_res,
            "_as_numpy": self._as_numpy,
        }
        return Results(**settings | changes)

    def cpu(self) -> Results:
        """The same with every tensor in main memory."""
        return self._copy(low_res=None if self.low_res is None else self.low_res.cpu())

    def numpy(self) -> Results:
        """The same with arrays in place of tensors."""
        return self.cpu()._copy(_as_numpy=True)

    def to_labels(self, dtype: DTypeLike | None = None) -> NDArray[Any]:
        """One label image ``(H, W)``; where objects overlap the higher logit wins.

        Parameters
        ----------
        dtype
            An integer type; default the smallest unsigned one that holds the ids.

        Raises
        ------
        ValueError
            Where an id does not fit ``dtype``.
        """
        labels = resolve_overlaps(self.objects, self.ids, self.shape)
        if dtype is None:
            return labels
        wanted = np.dtype(dtype)
        if wanted.kind not in "iu" or max(self.ids, default=0) > np.iinfo(wanted).max:
            raise ValueError(
                f"dtype must be an integer type that holds the ids up to "
                f"{max(self.ids, default=0)}: got {wanted}."
            )
        return labels.astype(wanted)
