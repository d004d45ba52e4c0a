"""A sheet of the worst, middle and best objects of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .objects import Case, ManySegmenter, ObjectScore

__all__ = ["contact_sheet"]

SIDE = 192
"""Of one object on the sheet, pixels."""
COLUMNS = 6
_TRUTH, _CLICK, _BOX = (0, 255, 0), (255, 40, 40), (255, 220, 0)


def contact_sheet(
    segmenter: ManySegmenter, cases: Sequence[Case], scores: Sequence[ObjectScore]
) -> NDArray[np.uint8]:
    """Draw the outlines of 18 objects: the worst, middle and best from one click.

    Parameters
    ----------
    segmenter
        Predicts them again.
    cases, scores
        The objects and what they scored, in the same order.

    Returns
    -------
    ndarray
        ``(rows * 192, 6 * 192, 3)`` uint8. Truth is green and on top, the answer to the
        click red, that to the box yellow; the numbers are the IoU of both.
    """
    order = sorted(range(len(scores)), key=lambda row: scores[row].click)
    middle = max(len(order) // 2 - COLUMNS // 2, 0)
    chosen = [
        *order[:COLUMNS],
        *order[middle : middle + COLUMNS],
        *order[-COLUMNS:],
    ]
    chosen = list(dict.fromkeys(chosen))
    rows = -(-len(chosen) // COLUMNS)
    sheet = Image.new("RGB", (SIDE * COLUMNS, SIDE * rows))
    for number, row in enumerate(chosen):
        tile = _tile(segmenter, cases[row], scores[row])
        sheet.paste(tile, (SIDE * (number % COLUMNS), SIDE * (number // COLUMNS)))
    return np.asarray(sheet)


def _tile(segmenter: ManySegmenter, case: Case, score: ObjectScore) -> Image.Image:
    """One object and what is around it."""
    source = case.plane.source
    click, box = segmenter.predict_many(source, [case.first_click, case.true_box])
    x0, y0, x1, y1 = case.box
    reach = max(case.box.side, 8)
    cx, cy = (x0 + x1) // 2, (y0 + y1) // 2
    height, width = source.shape
    top, bottom = max(cy - reach, 0), min(cy + reach, height)
    left, right = max(cx - reach, 0), min(cx + reach, width)
    pixels = source.read(top, bottom, left, right)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    # enlarged first, so that outlines stay thin
    zoom = max(round(SIDE / max(bottom - top, right - left)), 1)
    pixels = pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
    for mask, colour in (
        (box.best.mask.to_plane(), _BOX),
        (click.best.mask.to_plane(), _CLICK),
        (case.truth, _TRUTH),
    ):
        inside = mask[top:bottom, left:right].repeat(zoom, axis=0).repeat(zoom, axis=1)
        pixels[inside & ~ndimage.binary_erosion(inside)] = colour
    tile = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    text = f"click {score.click:.2f} box {score.box:.2f}\n{score.dataset[:30]}"
    ImageDraw.Draw(tile).text((3, 3), text, fill=(120, 220, 255))
    return tile
