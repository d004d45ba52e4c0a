"""Runs the EdgeTAM package, in a process of its own: its top level is called ``sam2`` too.

``python edgetam_reference.py OUT SIZE FRAMES`` with the package before all others in
``PYTHONPATH``. Writes the weights and what it makes of a folder of JPEG frames to OUT.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from reference import enliven, save_meta, shake

BOX = [20, 15, 60, 50]


def build(size: int) -> torch.nn.Module:
    """EdgeTAM with random weights, for a smaller input than its own."""
    import timm.models  # after the import of `reference`, which mends torchvision

    create = timm.models.create_model
    # the configuration asks for published weights of the trunk
    timm.models.create_model = lambda *a, **k: create(*a, **{**k, "pretrained": False})
    from sam2.build_sam import build_sam2_video_predictor

    grid = size // 16
    attention = "model.memory_attention.layer.cross_attention"
    network = build_sam2_video_predictor(
        "edgetam.yaml",
        ckpt_path=None,
        device="cpu",
        hydra_overrides_extra=[
            f"++model.image_size={size}",
            f"{attention}.q_sizes=[{grid},{grid}]",
        ],
    )
    torch.manual_seed(0)
    shake(network, 0)
    enliven(network)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            # the last norm of a residual branch begins at zero, which would hide it
            module.weight.uniform_(0.5, 1.0, generator=generator)
    network.fill_hole_area = 0
    return network


@torch.no_grad()
def main() -> None:
    """Write weights, features of the first frame and logits of all frames."""
    out, size, frames = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    network = build(size)
    save_meta(network, out / "edgetam.pt")
    state = network.init_state(frames)
    images = state["images"][:1].float()
    levels = network.forward_image(images)["backbone_fpn"]
    _, _, first = network.add_new_points_or_box(
        state, 0, 1, box=np.array(BOX, dtype=np.float32)
    )
    found = {"prompted": first, "images": images}
    found |= {f"level{number}": level for number, level in enumerate(levels)}
    for frame, _, masks in network.propagate_in_video(state):
        found[f"frame{frame}"] = masks
    memory = state["output_dict"]["cond_frame_outputs"][0]["maskmem_features"]
    found["memory"] = memory.float()
    torch.save({name: value.clone() for name, value in found.items()}, out / "found.pt")


if __name__ == "__main__":
    main()
