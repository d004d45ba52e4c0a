"""Builds the networks of Meta's ``sam2`` package with random weights to compare with.

Needs the extra ``parity``. Fresh weights would hide mistakes: position embeddings start
at zero, layer scales at 1e-6, masks come out flat and objects absent. So all parameters
are shaken, the last mask layers are scaled up and the object score is made positive.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mended_torchvision  # noqa: F401  before sam2 imports it
import torch
from torch import Tensor, nn

CONFIGS = {
    "sam2_hiera_tiny": "configs/sam2/sam2_hiera_t.yaml",
    "sam2_hiera_small": "configs/sam2/sam2_hiera_s.yaml",
    "sam2_hiera_base_plus": "configs/sam2/sam2_hiera_b+.yaml",
    "sam2_hiera_large": "configs/sam2/sam2_hiera_l.yaml",
    "sam2.1_hiera_tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "sam2.1_hiera_small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "sam2.1_hiera_base_plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "sam2.1_hiera_large": "configs/sam2.1/sam2.1_hiera_l.yaml",
    "cellprompt-nano": "configs/sam2.1/sam2.1_hiera_t.yaml",
}

_LAYER = "model.memory_attention.layer"
_MEMORY = "model.memory_encoder"
NANO_OVERRIDES = (
    "model.image_encoder.trunk.embed_dim=32",
    "model.image_encoder.trunk.num_heads=1",
    "model.image_encoder.trunk.stages=[1,2,4,2]",
    "model.image_encoder.trunk.global_att_blocks=[5,6]",
    "model.image_encoder.neck.d_model=128",
    "model.image_encoder.neck.backbone_channel_list=[256,128,64,32]",
    "model.image_encoder.neck.position_encoding.num_pos_feats=128",
    "model.memory_attention.d_model=128",
    "model.memory_attention.num_layers=2",
    f"{_LAYER}.d_model=128",
    f"{_LAYER}.dim_feedforward=512",
    f"{_LAYER}.self_attention.embedding_dim=128",
    f"{_LAYER}.self_attention.feat_sizes=[32,32]",
    f"{_LAYER}.cross_attention.embedding_dim=128",
    f"{_LAYER}.cross_attention.feat_sizes=[32,32]",
    f"++{_MEMORY}.in_dim=128",
    f"++{_MEMORY}.mask_downsampler.embed_dim=128",
    f"{_MEMORY}.fuser.layer.dim=128",
)
"""What turns the configuration of SAM 2.1 tiny into that of ``cellprompt-nano``."""


def build_reference(
    name: str,
    *,
    image_size: int,
    checkpoint: str | Path | None = None,
    video: bool = False,
    overrides: Sequence[str] = (),
) -> Any:
    """Build a model of the ``sam2`` package on the CPU, in evaluation mode.

    Parameters
    ----------
    name : str
        A key of ``CONFIGS``.
    image_size : int
        Side of the square input in pixels.
    checkpoint : str or Path, optional
        A file in Meta's format; loaded strictly.
    video : bool
        Build ``SAM2VideoPredictor`` instead of ``SAM2Base``.
    overrides : sequence of str
        Further Hydra overrides.
    """
    from sam2.build_sam import build_sam2, build_sam2_video_predictor

    extra = [f"++model.image_size={image_size}", *overrides]
    if name == "cellprompt-nano":
        extra = [*NANO_OVERRIDES, *extra]
    build = build_sam2_video_predictor if video else build_sam2
    return build(
        CONFIGS[name],
        ckpt_path=None if checkpoint is None else str(checkpoint),
        device="cpu",
        hydra_overrides_extra=extra,
    )


@torch.no_grad()
def shake(model: nn.Module, seed: int) -> None:
    """Give every parameter a random value of a size that lets signals through."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("gamma"):
            parameter.copy_(0.5 + 0.1 * noise)
        elif parameter.ndim == 1 or "embed" in name or "token" in name:
            parameter.add_(0.1 * noise)
        elif parameter.ndim > 2 and parameter.shape[0] == 1:
            parameter.add_(0.1 * noise)
        else:
            parameter.add_(0.01 * noise)


@torch.no_grad()
def enliven(model: Any, *, object_bias: float = 10.0) -> None:
    """Make masks vary within the image, and objects present (or absent, if negative)."""
    decoder = model.sam_mask_decoder
    for mlp in decoder.output_hypernetworks_mlps:
        mlp.layers[-1].weight.mul_(20)
        mlp.layers[-1].bias.mul_(20)
    decoder.pred_obj_score_head.layers[-1].bias.fill_(object_bias)


def random_reference(
    name: str, *, image_size: int, seed: int = 0, object_bias: float = 10.0
) -> Any:
    """Build a reference with random weights that give lively masks."""
    torch.manual_seed(seed)
    model = build_reference(name, image_size=image_size)
    shake(model, seed)
    enliven(model, object_bias=object_bias)
    return model


def reference_predictor(model: Any) -> Any:
    """Make Meta's image predictor for a model of any input size."""
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    with warnings.catch_warnings():
        # The package compiles its resizing with torch.jit.script, which torch 2.13
        # deprecates.
        warnings.filterwarnings("ignore", "`torch.jit.script`", DeprecationWarning)
        predictor = SAM2ImagePredictor(model)
    side = model.image_size
    # Written down for an input of 1024 in the package.
    predictor._bb_feat_sizes = [(side // stride, side // stride) for stride in (4, 8, 16)]
    return predictor


def save_meta(model: nn.Module, path: Path) -> Path:
    """Write a model's weights as Meta publishes them."""
    torch.save({"model": model.state_dict()}, path)
    return path


def scale_of(reference: Tensor) -> float:
    """What logits are compared relative to: the largest one, at least 1."""
    return max(1.0, float(reference.abs().max()))


def assert_logits_agree(ours: Tensor, reference: Tensor, tolerance: float = 1e-4) -> float:
    """Compare logits and the masks they make; return the largest relative difference.

    Logits agree within ``tolerance`` times :func:`scale_of`; masks agree wherever the
    reference is further from 0 than that.
    """
    assert ours.shape == reference.shape
    limit = tolerance * scale_of(reference)
    difference = float((ours - reference).abs().max())
    assert difference <= limit, f"logits differ by {difference}, allowed are {limit}"
    clear = reference.abs() > limit
    assert torch.equal((ours > 0)[clear], (reference > 0)[clear])
    return difference / scale_of(reference)
