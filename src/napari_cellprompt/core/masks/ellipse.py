"""Draws outlines towards an ellipse, the more the less the network is sure of them.

Most cells and nuclei are round, or nearly so, and a small network frays their outlines.
An ellipse alone scores well from a box (it is the baseline of ``benchmarks/quality.py``);
mixed with the network's logits it corrects them where these say little. Shapes that are no
ellipse are left alone: the network's mask and the ellipse then have little in common. The
constants were chosen on training images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["ellipse_in_box", "ellipse_of_mask", "part_at", "rounded", "towards_ellipse"]

BOX_WEIGHT = 30.0
"""Logits at the centre of the ellipse inscribed in a box, for a predicted IoU of 0."""
CLICK_WEIGHT = 10.0
"""The same for the ellipse that a mask found from clicks has itself."""
Edges = tuple[float, float, float, float]

_LIMIT = 8.0
"""Logits of the network count at most so much."""
_SMALLEST = 8
"""Low-resolution pixels that a mask must have to tell an ellipse."""
_FAR = 2.0
"""Distance of what lies beyond the image."""
_CELL = 1 / 12
"""Variance of a low-resolution pixel along each axis."""


def rounded(
    masks: Tensor,
    trust: Sequence[float],
    *,
    box: Edges | None = None,
    plane: Edges | None = None,
    click: tuple[float, float] | None = None,
) -> Tensor:
    """Masks for a box, or for a click, drawn towards the ellipse that is to be expected.

    Parameters
    ----------
    masks
        ``(N, s, s)`` logits of the network.
    trust
        How far each can be trusted, 0 to 1.
    box, plane
        x0, y0, x1, y1: edges of the box, and of all of the image, in pixels of ``masks``
        whose centres are at integers.
    click
        x, y of a click on the object; where there is no box, only the part of the mask
        under it is kept.

    Returns
    -------
    Tensor
        ``(N, s, s)``.
    """
    side, device = masks.shape[-1], masks.device
    boxed = None if box is None else ellipse_in_box(box, side, device, plane=plane)
    found = []
    for logits, known in zip(masks, trust, strict=True):
        radius, weight = boxed, BOX_WEIGHT
        if box is None and click is not None:
            logits, weight = part_at(logits, click), CLICK_WEIGHT
            radius = ellipse_of_mask(logits > 0)
        if radius is not None:
            logits = towards_ellipse(logits, radius, weight * (1 - min(max(known, 0), 1)))
        found.append(logits)
    return torch.stack(found)


def ellipse_in_box(
    box: Edges, side: int, device: torch.device, *, plane: Edges | None = None
) -> Tensor:
    """Distance from the centre of the ellipse inscribed in a box, 1 on the ellipse.

    Parameters
    ----------
    box
        x0, y0, x1, y1: its edges, where pixel centres are at integers.
    side
        Of the result, in the same pixels.
    device
        Of the result.
    plane
        Edges of the image. An object that it cuts goes on beyond, taken to be cut in half;
        nothing of the ellipse is wanted there.

    Returns
    -------
    Tensor
        ``(side, side)`` float32.
    """
    x0, y0, x1, y1 = box
    width, height = max(x1 - x0, 1e-3), max(y1 - y0, 1e-3)
    cells = torch.arange(side, dtype=torch.float32, device=device)
    beyond_x = beyond_y = torch.zeros_like(cells, dtype=torch.bool)
    if plane is not None:
        left, top, right, bottom = plane
        x0, x1 = x0 - width * (x0 <= left), x1 + width * (x1 >= right)
        y0, y1 = y0 - height * (y0 <= top), y1 + height * (y1 >= bottom)
        beyond_x = (cells < left) | (cells > right)
        beyond_y = (cells < top) | (cells > bottom)
    u = (cells - (x0 + x1) / 2) / (max(x1 - x0, 1e-3) / 2)
    v = (cells - (y0 + y1) / 2) / (max(y1 - y0, 1e-3) / 2)
    radius = torch.hypot(u[None], v[:, None])
    return torch.where(beyond_x[None] | beyond_y[:, None], _FAR, radius)


def ellipse_of_mask(mask: Tensor) -> Tensor | None:
    """The same for the ellipse with the centre and the second moments of a mask.

    None for masks ``(s, s)`` of too few pixels.
    """
    rows, columns = mask.nonzero(as_tuple=True)
    if len(rows) < _SMALLEST:
        return None
    places = torch.stack((rows, columns)).float()
    centre = places.mean(1)
    offset = places - centre[:, None]
    spread = offset @ offset.T / offset.shape[1]
    spread += _CELL * torch.eye(2, device=mask.device)
    inverse = torch.linalg.inv(spread)
    cells = torch.arange(mask.shape[-1], dtype=torch.float32, device=mask.device)
    y, x = cells[:, None] - centre[0], cells[None] - centre[1]
    # a filled ellipse has a quarter of its squared half axes as variances
    squared = inverse[0, 0] * y * y + 2 * inverse[0, 1] * y * x + inverse[1, 1] * x * x
    radius: Tensor = squared.clamp(min=0).sqrt() / 2
    return radius


def towards_ellipse(logits: Tensor, radius: Tensor, weight: float) -> Tensor:
    """Logits mixed with those of an ellipse.

    Parameters
    ----------
    logits
        ``(s, s)`` of the network.
    radius
        ``(s, s)``, see :func:`ellipse_in_box`.
    weight
        Of the ellipse, in logits; it falls with the square of the IoU of both.
    """
    ellipse = (1 - radius).clamp(min=-1)
    one, other = logits > 0, ellipse > 0
    agreement = (one & other).sum() / (one | other).sum().clamp(min=1)
    return logits.clamp(-_LIMIT, _LIMIT) + weight * agreement.square() * ellipse


def part_at(logits: Tensor, click: tuple[float, float]) -> Tensor:
    """Logits ``(s, s)`` without the parts of the mask that are not the one under a click.

    Where there is nothing under it, the largest part is the one.
    """
    from scipy.ndimage import label

    parts, count = label((logits > 0).cpu().numpy())
    if count < 2:
        return logits
    x, y = (min(max(round(value), 0), logits.shape[-1] - 1) for value in click)
    wanted = parts[y, x] or int(np.bincount(parts.ravel())[1:].argmax()) + 1
    other = torch.from_numpy((parts > 0) & (parts != wanted)).to(logits.device)
    return torch.where(other, -logits, logits)
