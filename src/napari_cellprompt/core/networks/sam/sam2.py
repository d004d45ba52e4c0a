"""SAM 2 and 2.1: image encoder, prompt encoder, mask decoder and memory in one network.

After Ravi et al. 2024, arXiv:2408.00714; parameter names are those of the
published checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_cellprompt.core.networks.layers import MLP, sine_position_encoding

from .image_encoder import ImageEncoder
from .mask_decoder import DecoderOutput, MaskDecoder
from .memory import Grid, MemoryAttention, MemoryEncoder
from .perceiver import SpatialPerceiver
from .prompt_encoder import PromptEncoder

__all__ = ["SAM2", "FrameMemory", "HeadsOutput", "ImageFeatures", "ObjectPointer"]

NO_OBJECT_LOGIT = -1024.0
"""Value of every mask logit where the object is judged absent."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageFeatures:
    """What the image encoder knows of B images."""

    embed: Tensor
    """``(B, D, S/16, S/16)``."""
    high_res: tuple[Tensor, ...]
    """``(B, D/8, S/4, S/4)`` and ``(B, D/4, S/8, S/8)``; nothing in SAM 1."""

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take, in bytes."""
        return sum(t.numel() * t.element_size() for t in (self.embed, *self.high_res))


@dataclass(frozen=True, slots=True, eq=False)
class HeadsOutput:
    """Masks of N objects on one frame and the pointer that memory keeps of each."""

    low_res: Tensor
    """``(N, 1, S/4, S/4)`` logits."""
    high_res: Tensor
    """``(N, 1, S, S)`` logits."""
    iou: Tensor
    """``(N, M)`` predicted IoU of every mask that was offered."""
    pointer: Tensor
    """``(N, D)``."""
    object_logits: Tensor
    """``(N, 1)``."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameMemory:
    """The spatial memory of one frame, N objects."""

    features: Tensor
    """``(N, mem_dim, h, w)``, see :attr:`SAM2.memory_shape`."""
    positions: Tensor
    """``(1, mem_dim, h, w)``."""
    distance: int
    """Frames from here to the current one, 1 to ``num_maskmem`` - 1; 0 = prompted frame."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectPointer:
    """The pointer of one frame, N objects."""

    pointer: Tensor
    """``(N, D)``."""
    distance: int
    """Frames from here to the current one; positive for frames passed already."""


class SAM2(nn.Module):
    """The whole network; build it with :func:`build.build_sam2`.

    Parameters
    ----------
    image_encoder, prompt_encoder, mask_decoder, memory_attention, memory_encoder
        The parts.
    image_size
        Side of the square input in pixels, a multiple of 32; may be changed later.
    dim, mem_dim
        Width of features and of memories.
    num_maskmem
        Number of temporal codes of memories, the prompted frame's included.
    version
        "2.0" or "2.1"; they differ in how memory treats absent objects and time.
    spatial_perceiver
        EdgeTAM's, which makes memories smaller; None keeps them as they are.
    """

    def __init__(
        self,
        *,
        image_encoder: ImageEncoder,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        memory_attention: MemoryAttention,
        memory_encoder: MemoryEncoder,
        image_size: int,
        dim: int,
        mem_dim: int,
        num_maskmem: int,
        version: str,
        spatial_perceiver: SpatialPerceiver | None = None,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.dim = dim
        self.mem_dim = mem_dim
        self.num_maskmem = num_maskmem
        self.version = version
        self.image_encoder = image_encoder
        self.sam_prompt_encoder = prompt_encoder
        self.sam_mask_decoder = mask_decoder
        self.memory_attention = memory_attention
        self.memory_encoder = memory_encoder
        self.spatial_perceiver = spatial_perceiver
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.obj_ptr_proj = MLP(dim, dim, dim, dim)
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(num_maskmem, 1, 1, mem_dim))
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, dim))
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, dim))
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, dim))
        self.no_obj_embed_spatial: nn.Parameter | None = None
        self.obj_ptr_tpos_proj: nn.Linear | None = None
        if version == "2.1":
            self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, mem_dim))
            self.obj_ptr_tpos_proj = nn.Linear(dim, mem_dim)

    # -- image -----------------------------------------------------------------
    def frame_features(self, x: Tensor) -> ImageFeatures:
        """Encode ``(B, 3, S, S)`` normalised images, without the no-memory code."""
        stride4, stride8, stride16 = self.image_encoder(x)
        decoder = self.sam_mask_decoder
        return ImageFeatures(stride16, (decoder.conv_s0(stride4), decoder.conv_s1(stride8)))

    def without_memory(self, features: ImageFeatures) -> ImageFeatures:
        """Features for frames that no memory conditions: the no-memory code is added."""
        code = self.no_mem_embed.reshape(1, -1, 1, 1)
        return ImageFeatures(features.embed + code, features.high_res)

    def image_features(self, x: Tensor) -> ImageFeatures:
        """Encode ``(B, 3, S, S)`` normalised images for prediction in image mode."""
        return self.without_memory(self.frame_features(x))

    def decode(
        self,
        features: ImageFeatures,
        image_index: Tensor | None,
        points: Tensor | None,
        labels: Tensor | None,
        mask_input: Tensor | None,
        *,
        multimask: bool | None,
    ) -> DecoderOutput:
        """Predict the masks of N objects from their prompts.

        Parameters
        ----------
        features
            Of B images.
        image_index
            ``(N,)`` int64, the image of each object; None when B is 1 or N.
        points, labels
            ``(N, K, 2)`` input pixels and ``(N, K)``: 1, 0, 2 and 3 (box corners)
            or -1 (padding).
        mask_input
            ``(N, 1, S/4, S/4)`` logits.
        multimask
            As in :meth:`MaskDecoder.forward`.
        """
        embed, high_res = features.embed, features.high_res
        if image_index is not None and embed.shape[0] > 1:
            embed = embed[image_index]
            high_res = (high_res[0][image_index], high_res[1][image_index])
        height, width = embed.shape[-2:]
        sparse, dense = self.sam_prompt_encoder(
            points,
            labels,
            mask_input,
            image_size=self.image_size,
            grid_size=(height, width),
        )
        output: DecoderOutput = self.sam_mask_decoder(
            embed,
            self.sam_prompt_encoder.dense_positions(height, width),
            sparse,
            dense,
            high_res,
            multimask=multimask,
        )
        return output

    # -- frames of a video -----------------------------------------------------
    def heads(
        self,
        features: ImageFeatures,
        points: Tensor | None,
        labels: Tensor | None,
        mask_input: Tensor | None,
        *,
        multimask: bool,
    ) -> HeadsOutput:
        """Masks and pointers of N objects on one frame.

        ``features.embed`` is ``(N, D, h, w)`` or ``(1, D, h, w)``, conditioned on
        memory or not; prompts as in :meth:`decode`, none at all while tracking.
        """
        if points is None or labels is None:
            count = features.embed.shape[0] if mask_input is None else mask_input.shape[0]
            points = features.embed.new_zeros(count, 1, 2)
            labels = torch.full((count, 1), -1, dtype=torch.int32, device=points.device)
        out = self.decode(features, None, points, labels, mask_input, multimask=multimask)
        present = out.object_logits > 0
        masks = torch.where(present[:, None, None], out.masks, NO_OBJECT_LOGIT).float()
        rows = torch.arange(len(masks), device=masks.device)
        best = out.iou.argmax(dim=1)
        low_res = masks[rows, best][:, None]
        token = out.tokens[
            rows, best if out.tokens.shape[1] > 1 else torch.zeros_like(best)
        ]
        high_res = F.interpolate(
            low_res, size=(self.image_size, self.image_size), mode="bilinear"
        )
        pointer = self._pointer(token, present.float())
        return HeadsOutput(low_res, high_res, out.iou, pointer, out.object_logits)

    def heads_from_mask(self, features: ImageFeatures, mask: Tensor) -> HeadsOutput:
        """Take masks ``(N, 1, S, S)`` of 0 and 1 as they are; predict only the pointer."""
        mask = mask.float()
        high_res = mask * 20.0 - 10.0
        low_res = F.interpolate(
            high_res,
            size=(high_res.shape[-2] // 4, high_res.shape[-1] // 4),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        predicted = self.heads(
            features, None, None, self.mask_downsample(mask), multimask=False
        )
        present = mask.flatten(1).gt(0).any(dim=1, keepdim=True).float()
        # a prompted but empty mask is an absent object whatever the decoder thinks
        pointer = present * predicted.pointer + (1 - present) * self.no_obj_ptr
        iou = mask.new_ones(len(mask), 1)
        return HeadsOutput(low_res, high_res, iou, pointer, present * 20.0 - 10.0)

    def _pointer(self, token: Tensor, present: Tensor) -> Tensor:
        """Object pointers ``(N, D)`` from mask tokens; a fixed one for absent objects."""
        pointer: Tensor = self.obj_ptr_proj(token)
        return present * pointer + (1 - present) * self.no_obj_ptr

    def encode_memory(
        self,
        embed: Tensor,
        mask_logits: Tensor,
        object_logits: Tensor,
        *,
        binarize: bool,
    ) -> tuple[Tensor, Tensor]:
        """Make the memory of one frame.

        Parameters
        ----------
        embed
            ``(N or 1, D, h, w)`` from :meth:`frame_features`.
        mask_logits
            ``(N, 1, S, S)``.
        object_logits
            ``(N, 1)``.
        binarize
            Whether the mask is thresholded first (prompted frames) or kept soft.

        Returns
        -------
        tuple of Tensor
            Memory ``(N, mem_dim, h, w)`` and positions ``(1, mem_dim, h, w)``, of the
            shape :attr:`memory_shape`.
        """
        mask = (mask_logits > 0).float() if binarize else mask_logits.sigmoid()
        memory, positions = self.memory_encoder(embed, mask * 20.0 - 10.0)
        if self.no_obj_embed_spatial is not None:
            absent = (object_logits <= 0).float()[..., None, None]
            memory = memory + absent * self.no_obj_embed_spatial[..., None, None]
        if self.spatial_perceiver is not None:
            memory = self.spatial_perceiver(memory)
            positions = self.memory_positions(memory)
        return memory, positions

    @property
    def memory_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of a memory as it is stored.

        Behind a spatial perceiver the upper half of the rows has no place in the image.
        """
        if self.spatial_perceiver is not None:
            side = self.spatial_perceiver.side
            return self.mem_dim, 2 * side, side
        return self.mem_dim, self.image_size // 16, self.image_size // 16

    def memory_positions(self, memory: Tensor) -> Tensor:
        """Positions ``(1, mem_dim, h, w)`` of stored memories ``(N, mem_dim, h, w)``."""
        if self.spatial_perceiver is not None:
            return self.spatial_perceiver.positions(self.mem_dim, memory.device)
        height, width = memory.shape[-2:]
        return sine_position_encoding(height, width, self.mem_dim, memory.device)

    def attention_start(self, features: ImageFeatures) -> Tensor:
        """What :meth:`condition` needs of a frame, the same for all objects.

        ``features`` are of one frame, from :meth:`frame_features`.
        """
        height, width = features.embed.shape[-2:]
        embed = features.embed.flatten(2).transpose(1, 2)
        place = sine_position_encoding(height, width, self.dim, embed.device)
        return self.memory_attention.start(embed, place.flatten(2).transpose(1, 2))

    def condition(
        self,
        features: ImageFeatures,
        memories: Sequence[FrameMemory],
        pointers: Sequence[ObjectPointer],
        *,
        max_distance: int,
        count: int,
        start: Tensor | None = None,
    ) -> ImageFeatures:
        """Condition one frame's features on what is remembered of N objects.

        Parameters
        ----------
        features
            Of one frame, from :meth:`frame_features`.
        memories
            In any order; all of N objects. Their grid may be coarser than that of the
            features by a whole number, where there is no spatial perceiver.
        pointers
            Of N objects; may be empty.
        max_distance
            The distance that the temporal code of pointers calls 1; Meta uses
            ``min(number of frames, 16) - 1``.
        count
            N.
        start
            From :meth:`attention_start`, where it is needed more than once.

        Returns
        -------
        ImageFeatures
            ``embed`` is ``(N, D, h, w)``.
        """
        height, width = features.embed.shape[-2:]
        tokens, positions = [], []
        grids: list[Grid] = []
        unplaced: list[tuple[Tensor, Tensor]] = []
        for memory in memories:
            stored = memory.features.flatten(2).transpose(1, 2).to(features.embed.dtype)
            # code 0 belongs to the neighbouring frame, the last one to prompted frames
            code = self.maskmem_tpos_enc[memory.distance - 1]
            place = memory.positions.flatten(2).transpose(1, 2) + code
            side = memory.features.shape[-1]
            if self.spatial_perceiver is None:
                grids.append((side, width // side))
            else:
                # its windows are counted, not placed, in the rotary positions
                grids.append((side, 1))
                cut = side * side
                unplaced.append((stored[:, :cut], place[:, :cut]))
                stored, place = stored[:, cut:], place[:, cut:]
            tokens.append(stored)
            positions.append(place)
        tokens += [stored for stored, _ in unplaced]
        positions += [place for _, place in unplaced]
        if pointers:
            stacked = torch.stack([item.pointer for item in pointers], dim=1)
            place = self._pointer_positions(
                [item.distance for item in pointers], max_distance, stacked
            )
            tokens.append(stacked.reshape(count, -1, self.mem_dim))
            parts = self.dim // self.mem_dim
            positions.append(place.repeat_interleave(parts, dim=0)[None])
        conditioned = self.memory_attention.finish(
            self.attention_start(features) if start is None else start,
            torch.cat(tokens, dim=1),
            torch.cat(positions, dim=1),
            grids=grids,
        )
        shaped = conditioned.transpose(1, 2).reshape(count, -1, height, width)
        return ImageFeatures(shaped, features.high_res)

    def _pointer_positions(
        self, distances: Sequence[int], max_distance: int, like: Tensor
    ) -> Tensor:
        """Temporal codes of pointers, ``(P, mem_dim)``; zeros in SAM 2.0."""
        if self.obj_ptr_tpos_proj is None:
            return like.new_zeros(len(distances), self.mem_dim)
        place = (
            torch.tensor(distances, dtype=torch.float32, device=like.device) / max_distance
        )
        half = self.dim // 2
        step = torch.arange(half, dtype=torch.float32, device=like.device)
        wavelength = 10000 ** (2 * torch.div(step, 2, rounding_mode="floor") / half)
        phase = place[:, None] / wavelength
        code: Tensor = self.obj_ptr_tpos_proj(torch.cat((phase.sin(), phase.cos()), dim=1))
        return code
