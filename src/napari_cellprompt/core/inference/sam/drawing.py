"""Draws clicks and boxes into the one-channel mask prompt.

A small network learns where a prompt is much sooner from a picture of it than
from point embeddings alone; the bundled model was trained with both.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["draw_prompts"]


def draw_prompts(
    points: Tensor, labels: Tensor, image_size: int, *, amplitude: float, sigma: float
) -> Tensor:
    """Draw the prompts of N objects.

    Parameters
    ----------
    points
        ``(N, K, 2)`` x, y in pixels of the model's input.
    labels
        ``(N, K)``: 1 adds a Gaussian of height ``amplitude``, 0 one of
        ``-amplitude``; a pair of 2 and 3 fills a box at half the amplitude;
        -1 is ignored.
    image_size
        Side of the model's input in pixels.
    amplitude
        In logits.
    sigma
        Width of the Gaussian in pixels of the drawing (a quarter of the input).

    Returns
    -------
    Tensor
        ``(N, 1, image_size / 4, image_size / 4)`` float32.
    """
    side = image_size // 4
    centres = (
        torch.arange(side, device=points.device, dtype=torch.float32) + 0.5
    ) * 4 - 0.5
    x, y = points[..., 0].float(), points[..., 1].float()
    spread = 2 * (sigma * 4) ** 2
    # the Gaussian is separable: two outer factors instead of a distance per pixel
    along_x = torch.exp(-((centres - x[..., None]) ** 2) / spread)
    along_y = torch.exp(-((centres - y[..., None]) ** 2) / spread)
    height = amplitude * ((labels == 1).float() - (labels == 0).float())
    canvas = torch.einsum("nk,nky,nkx->nyx", height, along_y, along_x)

    top_left, bottom_right = labels == 2, labels == 3
    if bool(top_left.any()):
        start = torch.where(top_left[..., None], points.float(), 0).sum(1)
        stop = torch.where(bottom_right[..., None], points.float(), 0).sum(1)
        inside_x = (centres >= start[:, :1]) & (centres <= stop[:, :1])
        inside_y = (centres >= start[:, 1:]) & (centres <= stop[:, 1:])
        box = inside_y[:, :, None] & inside_x[:, None, :] & top_left.any(1)[:, None, None]
        canvas = canvas + 0.5 * amplitude * box
    return canvas[:, None]
