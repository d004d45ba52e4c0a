"""The prompt encoder of SAM and SAM 2 (arXiv:2304.02643, appendix A)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from napari_cellprompt.core.networks.layers import LayerNorm2d

__all__ = ["PromptEncoder"]


class _RandomFourier(nn.Module):
    """Positions as sines and cosines of random projections."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer(
            "positional_encoding_gaussian_matrix", torch.randn(2, features)
        )

    def forward(self, unit_xy: Tensor) -> Tensor:
        """Encode ``(..., 2)`` x, y in 0..1 as ``(..., 2 * features)``."""
        projected = (2 * unit_xy - 1) @ self.positional_encoding_gaussian_matrix
        projected = 2 * math.pi * projected
        return torch.cat((projected.sin(), projected.cos()), dim=-1)


class PromptEncoder(nn.Module):
    """Turns clicks, box corners and low-resolution masks into embeddings.

    Parameters
    ----------
    embed_dim
        Width of the embeddings.
    mask_in_chans
        Hidden channels of the mask branch.
    """

    def __init__(self, *, embed_dim: int, mask_in_chans: int = 16) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.pe_layer = _RandomFourier(embed_dim // 2)
        # background, object, top-left corner, bottom-right corner
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embed_dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_in_chans // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            nn.GELU(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans),
            nn.GELU(),
            nn.Conv2d(mask_in_chans, embed_dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)

    def dense_positions(self, height: int, width: int) -> Tensor:
        """Encodings of the pixel centres of a grid, ``(1, embed_dim, height, width)``."""
        matrix = self.pe_layer.positional_encoding_gaussian_matrix
        y = (torch.arange(height, device=matrix.device, dtype=matrix.dtype) + 0.5) / height
        x = (torch.arange(width, device=matrix.device, dtype=matrix.dtype) + 0.5) / width
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
        positions: Tensor = self.pe_layer(grid)
        return positions.permute(2, 0, 1)[None]

    def embed_points(self, points: Tensor, labels: Tensor, image_size: int) -> Tensor:
        """Embed clicks and box corners.

        Parameters
        ----------
        points
            ``(N, K, 2)`` x, y in pixels of the model's input; half a pixel is
            added here, so that integers mean pixel centres.
        labels
            ``(N, K)``: 1 object, 0 background, 2 and 3 box corners, -1 padding.
        image_size
            Side of the model's input in pixels.

        Returns
        -------
        Tensor
            ``(N, K, embed_dim)``.
        """
        encoded: Tensor = self.pe_layer((points + 0.5) / image_size)
        padding = (labels == -1)[..., None]
        encoded = torch.where(padding, self.not_a_point_embed.weight, encoded)
        for value, embedding in enumerate(self.point_embeddings.children()):
            weight = embedding.get_parameter("weight")
            encoded = encoded + (labels == value)[..., None] * weight
        return encoded

    def forward(
        self,
        points: Tensor | None,
        labels: Tensor | None,
        masks: Tensor | None,
        *,
        image_size: int,
        grid_size: tuple[int, int],
        pad: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Sparse ``(N, K, D)`` and dense ``(N, D, h, w)`` embeddings of N objects.

        With ``pad``, a padding point is appended to the points, as SAM 2 always does.
        """
        if points is not None and labels is not None:
            count = points.shape[0]
            if pad:
                points = torch.cat((points, points.new_zeros(count, 1, 2)), dim=1)
                labels = torch.cat((labels, labels.new_full((count, 1), -1)), dim=1)
            sparse = self.embed_points(points, labels, image_size)
        else:
            count = 1 if masks is None else masks.shape[0]
            sparse = self.no_mask_embed.weight.new_zeros(count, 0, self.embed_dim)
        if masks is not None:
            dense = self.mask_downscaling(masks)
        else:
            dense = self.no_mask_embed.weight.reshape(1, -1, 1, 1)
            dense = dense.expand(count, -1, *grid_size)
        return sparse, dense
