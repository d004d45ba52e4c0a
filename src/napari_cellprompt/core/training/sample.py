"""One crop with its prompts and the right answers, and batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["Sample", "collate", "turned"]


@dataclass(slots=True, eq=False)
class Sample:
    """One crop with prompts and the right answers."""

    image: Floats
    """``(3, S, S)``."""
    prompts: Floats
    """``(11, S, S)``."""
    cover: Floats
    """``(S, S)``, the share of each pixel that the object covers."""
    whole: float
    """Area of the whole object in pixels of the crop; 0 where it is absent."""
    kind: str
    dense: Floats | None = None
    """``(3, S, S)``; None where it is not trained."""
    chain_image: Floats | None = None
    """``(K, 3, S, S)``, planes between the one where the object is known and the asked."""
    chain_prompts: Floats | None = None
    """``(K, 11, S, S)``; the answer to each replaces ``before_mask`` of what follows."""
    weight: float = 1.0
    """Of the mask in the loss."""


def turned(sample: Sample, rng: np.random.Generator) -> Sample:
    """Flip and turn everything by quarters."""
    quarter, flip = int(rng.integers(4)), bool(rng.random() < 0.5)

    def change(array: Floats | None) -> Floats | None:
        if array is None:
            return None
        array = np.rot90(array, quarter, axes=(-2, -1))
        return np.ascontiguousarray(array[..., ::-1] if flip else array)

    for name in ("image", "prompts", "cover", "dense", "chain_image", "chain_prompts"):
        setattr(sample, name, change(getattr(sample, name)))
    return sample


def collate(samples: Sequence[Sample]) -> dict[str, Any]:
    """Samples as tensors; what only some have comes with the rows that it belongs to."""

    def stacked(arrays: Sequence[Floats]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays))

    batch: dict[str, Any] = {
        "image": stacked([s.image for s in samples]),
        "prompts": stacked([s.prompts for s in samples]),
        "cover": stacked([s.cover for s in samples]),
        "whole": torch.tensor([s.whole for s in samples], dtype=torch.float32),
        "weight": torch.tensor([s.weight for s in samples], dtype=torch.float32),
        "kind": [s.kind for s in samples],
    }
    rows = [i for i, s in enumerate(samples) if s.dense is not None]
    if rows:
        batch["dense_rows"] = torch.tensor(rows)
        batch["dense"] = stacked([samples[i].dense for i in rows])  # type: ignore[misc]
    batch["chains"] = [
        (row, torch.from_numpy(s.chain_image), torch.from_numpy(s.chain_prompts))
        for row, s in enumerate(samples)
        if s.chain_image is not None and s.chain_prompts is not None
    ]
    return batch
