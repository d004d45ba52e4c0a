"""Asks the network as simply as possible, to measure it: without the package's rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_cellprompt.core.inference.crops import (
    Crop,
    NeighbourPlane,
    crop_around,
    image_planes,
    paste,
    prompt_planes,
    read,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.networks.focus import FocusNet

    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

__all__ = ["ZOOMS", "Answer", "Asker", "box_of", "overlap"]

ZOOMS = (20.0, 32.0, 52.0, 84.0, 136.0, 220.0, 360.0, 580.0)
"""Sides in pixels of the crops that are looked at where the size is unknown."""
OFF_CENTRE = (0.04, -0.03)
"""Down and right by which the crops lie beside a click, in sides. With the click exactly in
the middle, the weights shipped first answer that nothing is there (see the README)."""
BOX_SHARE, CORRECTION_SHARE, FOLLOW_SHARE, SECOND_SHARE = 0.47, 0.55, 0.45, 0.5


def overlap(a: Mask, b: Mask) -> float:
    """IoU of two masks; 0 where both are empty."""
    return float((a & b).sum() / max((a | b).sum(), 1))


def box_of(mask: Mask, origin: tuple[int, int] = (0, 0)) -> tuple[float, ...] | None:
    """x0, y0, x1, y1 of a mask; None where it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    y0, x0 = origin
    return (
        float(columns[0] + x0),
        float(rows[0] + y0),
        float(columns[-1] + 1 + x0),
        float(rows[-1] + 1 + y0),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """An answer in its crop and in the plane."""

    crop: Crop
    logits: Floats
    """``(S, S)``."""
    iou: float
    presence: float
    """Probability."""
    shape: tuple[int, int]
    """Of the plane."""

    def window(self) -> tuple[Floats, tuple[int, int]]:
        """Logits in pixels of the plane, and the window's row and column."""
        pasted = paste(self.logits, self.crop, self.shape)
        return pasted.values, (pasted.y0, pasted.x0)

    def mask(self) -> Mask:
        """``(H, W)`` of the plane."""
        whole = np.zeros(self.shape, bool)
        values, (y0, x0) = self.window()
        whole[y0 : y0 + values.shape[0], x0 : x0 + values.shape[1]] = values > 0
        return whole

    def probability(self) -> tuple[Floats, tuple[int, int]]:
        """As a prompt of the next round."""
        values, origin = self.window()
        return 1 / (1 + np.exp(-np.clip(values, -30, 30))), origin


class Asker:
    """A network in evaluation mode with the few ways of asking that are measured.

    Parameters
    ----------
    network
        Trained or not.
    size
        Pixels of a crop.
    """

    def __init__(self, network: FocusNet, size: int = 128) -> None:
        self.network, self.size = network.eval(), size

    @torch.no_grad()
    def ask(
        self, image: NDArray[Any], crops: Sequence[Crop], prompts: Sequence[dict[str, Any]]
    ) -> list[Answer]:
        """Answer several crops of one plane at once."""
        pictures = np.stack([image_planes(image, crop) for crop in crops])
        drawn = np.stack(
            [prompt_planes(crop, **one) for crop, one in zip(crops, prompts, strict=True)]
        )
        output = self.network(
            torch.from_numpy(pictures).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(drawn).contiguous(memory_format=torch.channels_last),
        )
        presence = torch.sigmoid(output.presence)
        height, width = image.shape[:2]
        return [
            Answer(
                crop,
                output.logits[i].numpy(),
                float(output.iou[i]),
                float(presence[i]),
                (height, width),
            )
            for i, crop in enumerate(crops)
        ]

    def zooms(self, image: NDArray[Any], point: tuple[float, float]) -> list[Answer]:
        """The answers to one click at every zoom."""
        sizes = [s for s in ZOOMS if s < 2.2 * max(image.shape[:2])] or [ZOOMS[0]]
        crops = [
            Crop(
                point[1] + 0.5 - (0.5 - OFF_CENTRE[0]) * side,
                point[0] + 0.5 - (0.5 - OFF_CENTRE[1]) * side,
                side,
                self.size,
            )
            for side in sizes
        ]
        return self.ask(image, crops, [{"points": [point], "labels": [1]}] * len(crops))

    def click(self, image: NDArray[Any], point: tuple[float, float]) -> Answer:
        """One click on an object of unknown size: all zooms, then a second look."""
        answers = self.zooms(image, point)
        best = int(np.argmax(self.zoom_scores(answers)))
        chosen = answers[best]
        again = self.again(image, chosen, [point], [1], share=SECOND_SHARE)
        return again or chosen

    @staticmethod
    def zoom_scores(answers: Sequence[Answer]) -> list[float]:
        """How good each zoom is: predicted IoU, extent, border, agreement with the next."""
        shares = [1 / (1 + np.exp(-np.clip(a.logits, -30, 30))) for a in answers]
        agreement = np.full((len(answers), 2), np.nan)
        for i in range(len(answers) - 1):
            small, large = answers[i].crop, answers[i + 1].crop
            inner = Crop(
                (large.y0 - small.y0) / small.step,
                (large.x0 - small.x0) / small.step,
                large.side / small.step,
                large.size,
            )
            seen = read(shares[i], inner)
            both = np.minimum(seen, shares[i + 1]).sum()
            either = np.maximum(seen, shares[i + 1]).sum()
            agreement[i, 1] = agreement[i + 1, 0] = both / max(either, 1e-6)
        scores = []
        for position, answer in enumerate(answers):
            box = box_of(answer.logits > 0)
            if box is None:
                scores.append(-1.0)
                continue
            extent = max(box[2] - box[0], box[3] - box[1]) / answer.crop.size
            fits = min(1.0, extent / 0.14) * min(1.0, max(0.0, (1.0 - extent) / 0.28))
            best = np.nanmax(agreement[position]) if len(answers) > 1 else 1.0
            scores.append(answer.iou * (0.3 + 0.7 * fits) * (0.3 + 0.7 * best))
        return scores

    def again(
        self,
        image: NDArray[Any],
        answer: Answer,
        points: Sequence[tuple[float, float]],
        labels: Sequence[int],
        *,
        share: float = CORRECTION_SHARE,
        box: Sequence[float] | None = None,
    ) -> Answer | None:
        """Look once more around the answer and the clicks; None where it was empty."""
        values, origin = answer.probability()
        found = box_of(values > 0.5, origin)
        clicks = [(x, y, x + 1, y + 1) for x, y in points]
        spans = np.array(([found] if found else []) + clicks, dtype=float)
        if not len(spans) or (found is None and share == SECOND_SHARE):
            return None
        around = (*spans[:, :2].min(axis=0), *spans[:, 2:].max(axis=0))
        if found is None:
            around = (
                answer.crop.x0 + 0.25 * answer.crop.side,
                answer.crop.y0 + 0.25 * answer.crop.side,
                answer.crop.x0 + 0.75 * answer.crop.side,
                answer.crop.y0 + 0.75 * answer.crop.side,
            )
        crop = crop_around(around, share, self.size)
        prompt = {"points": points, "labels": labels, "previous": (values, origin)}
        if box is not None:
            prompt["box"] = box
        return self.ask(image, [crop], [prompt])[0]

    def box(self, image: NDArray[Any], box: Sequence[float]) -> Answer:
        """The object in a box."""
        return self.ask(image, [crop_around(box, BOX_SHARE, self.size)], [{"box": box}])[0]

    def rough(self, image: NDArray[Any], mask: Mask) -> Answer:
        """The object under a rough mask ``(H, W)``."""
        around = box_of(mask) or (0.0, 0.0, 8.0, 8.0)
        crop = crop_around(around, BOX_SHARE, self.size)
        return self.ask(image, [crop], [{"mask": (mask, (0, 0))}])[0]

    def follow(
        self,
        image: NDArray[Any],
        before: NeighbourPlane,
        after: NeighbourPlane | None = None,
    ) -> Answer:
        """The object on a plane, from known ones beside it."""
        around = box_of(before.mask > 0.5, before.origin) or (0.0, 0.0, 8.0, 8.0)
        crop = crop_around(around, FOLLOW_SHARE, self.size)
        return self.ask(image, [crop], [{"before": before, "after": after}])[0]
