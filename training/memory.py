"""Trains the memory of the network on short clips; the image encoder stays as it is.

``CELLPROMPT_DATA=... python training/memory.py --out training/runs/memory
--start-from training/runs/nano/checkpoint.pt --minutes 45``. The prompt encoder and the
mask decoder follow at a lower rate, and keep their answers to prompts on single images.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from clips import Clip, ClipStream, clip_from_stack, load_stacks, simulated_stacks
from data import load_planes
from losses import decoder_loss
from napari_cellprompt.core.networks.sam2 import FrameMemory, ImageFeatures, ObjectPointer
from napari_cellprompt.core.predictors.drawing import draw_prompts
from napari_cellprompt.core.predictors.prompting import mask_to_logits
from train import LOGIT_LIMIT, MEMORY_PARTS, Average, build_network

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from napari_cellprompt.core.networks.mask_decoder import DecoderOutput
    from napari_cellprompt.core.networks.sam2 import SAM2

__all__ = ["Tracked", "clip_loss", "main", "prepare_memory"]

POINTER_DISTANCE = 15
"""What the temporal code of object pointers calls 1, as for clips of 16 frames or more."""
SECONDS_BETWEEN_CHECKPOINTS = 180
STEPS_BETWEEN_LOGS = 25


@dataclass(slots=True, eq=False)
class Tracked:
    """What is remembered of N objects on one frame."""

    memory: Tensor
    positions: Tensor
    pointer: Tensor


@torch.no_grad()
def prepare_memory(network: SAM2, images: Tensor) -> None:
    """Let memory attention begin near the features that the decoder knows.

    Its residual branches start at zero; the affine part of its last norm is fitted, so
    that an image passes through nearly as ``without_memory`` would give it.
    """
    attention = network.memory_attention
    for layer in attention.layers:
        for part in (
            layer.self_attn.out_proj,
            layer.cross_attn_image.out_proj,
            layer.linear2,
        ):
            torch.nn.init.zeros_(part.weight)
            torch.nn.init.zeros_(part.bias)
    features = network.frame_features(images)
    wanted = network.without_memory(features).embed.flatten(2).transpose(1, 2)
    seen = features.embed.flatten(2).transpose(1, 2)
    normed = F.layer_norm(seen, seen.shape[-1:])
    x, y = normed.flatten(0, 1), wanted.flatten(0, 1)
    centre_x, centre_y = x.mean(0), y.mean(0)
    slope = ((x - centre_x) * (y - centre_y)).mean(0) / x.var(0, unbiased=False)
    attention.norm.weight.copy_(slope)
    attention.norm.bias.copy_(centre_y - slope * centre_x)
    for block in network.memory_encoder.fuser.layers:
        block.gamma.fill_(0.1)
    network.maskmem_tpos_enc.normal_(std=0.02)
    network.no_obj_embed_spatial.normal_(std=0.02)
    network.no_obj_ptr.normal_(std=0.02)


def _boxes(masks: Tensor) -> Tensor:
    """Corners ``(N, 2, 2)`` of masks ``(N, S, S)``, edges half a pixel off the centres."""
    corners = torch.zeros(len(masks), 2, 2)
    for row, mask in enumerate(masks):
        ys, xs = torch.where(mask)
        corners[row, 0] = torch.tensor((xs.min(), ys.min())) - 0.5
        corners[row, 1] = torch.tensor((xs.max(), ys.max())) + 0.5
    return corners


def _clicks(masks: Tensor, rng: np.random.Generator) -> Tensor:
    """A pixel ``(N, 1, 2)`` of each mask ``(N, S, S)``, rather inside than at the rim."""
    inner = F.avg_pool2d(masks[:, None].float(), 17, 1, 8)[:, 0] * masks
    points = torch.zeros(len(masks), 1, 2)
    for row, depth in enumerate(inner):
        places = torch.nonzero(depth >= 0.7 * depth.max())
        y, x = places[int(rng.integers(len(places)))]
        points[row, 0] = torch.tensor((float(x), float(y)))
    return points


def _draw(points: Tensor, labels: Tensor, network: SAM2, config: dict[str, Any]) -> Tensor:
    drawing = config["drawing"]
    return draw_prompts(
        points,
        labels,
        network.image_size,
        amplitude=drawing["amplitude"],
        sigma=drawing["sigma"],
    )


def _frame(features: ImageFeatures, index: int) -> ImageFeatures:
    low, high = features.high_res
    part = slice(index, index + 1)
    return ImageFeatures(features.embed[part], (low[part], high[part]))


def remember(
    network: SAM2,
    features: ImageFeatures,
    logits: Tensor,
    out: DecoderOutput,
    *,
    binarize: bool,
) -> Tracked:
    """Memory and pointer of one frame from its low-resolution logits ``(N, 1, s, s)``."""
    full = F.interpolate(logits, size=(network.image_size,) * 2, mode="bilinear")
    seen = (out.object_logits > 0).float()
    projected = network.obj_ptr_proj(out.tokens[:, 0])
    pointer = seen * projected + (1 - seen) * network.no_obj_ptr
    memory, positions = network.encode_memory(
        features.embed, full, out.object_logits, binarize=binarize
    )
    return Tracked(memory, positions, pointer)


def clip_loss(
    network: SAM2, clip: Clip, config: dict[str, Any], rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Prompt the objects of a clip on its first frame and follow them.

    Besides the loss of tracking there is that of the prompts themselves, so that the
    decoder does not forget them. Of objects that are not there the score must say so.
    """
    settings = config["memory"]
    with torch.no_grad():
        features = network.frame_features(clip.images)
    side = network.image_size // 4
    targets = F.interpolate(
        clip.masks.float(), size=(side, side), mode="bilinear", antialias=True
    )
    first, total = _start(
        network, _frame(features, 0), clip.masks[0], targets[0], config, rng
    )
    logits = mask_to_logits(clip.masks[0][:, None].float(), side)
    recent: list[tuple[int, Tracked]] = []
    keep = int(rng.integers(0, network.num_maskmem))
    carry = rng.random() < settings["carry_share"]
    scores, presence = [], []
    for index in range(1, len(clip.images)):
        current = _frame(features, index)
        out = track(
            network,
            current,
            index,
            first,
            recent[-keep:] if keep else [],
            logits if carry else None,
        )
        loss, parts = decoder_loss(out.masks, out.iou, out.object_logits, targets[index])
        total = total + loss
        scores.append(parts.get("iou", math.nan))
        there = targets[index].flatten(1).amax(dim=1) > 0.05
        presence.append(((out.object_logits[:, 0] > 0) == there).float().mean())
        present = out.object_logits[..., None, None] > 0
        low = torch.where(present, out.masks[:, :1], -LOGIT_LIMIT)
        logits = low.detach()
        recent.append((index, remember(network, current, low, out, binarize=False)))
        if rng.random() < settings["correct_share"] and there.all():
            # the user corrects this frame: what is remembered is the truth
            logits = mask_to_logits(clip.masks[index][:, None].float(), side)
            recent[-1] = (index, remember(network, current, logits, out, binarize=True))
    name = "carried" if carry else "tracked"
    return total / len(clip.images), {
        name: float(np.nanmean(scores)) if not np.isnan(scores).all() else math.nan,
        "presence": float(np.mean(presence)),
    }


def _start(
    network: SAM2,
    features: ImageFeatures,
    masks: Tensor,
    targets: Tensor,
    config: dict[str, Any],
    rng: np.random.Generator,
) -> tuple[Tracked, Tensor]:
    """Memory of the first frame, and the loss of prompts on it."""
    without = network.without_memory(features)
    count, side = len(masks), network.image_size // 4
    kinds = {
        "box": (
            _boxes(masks) + torch.from_numpy(rng.normal(0, 1.5, (count, 2, 2))).float(),
            (2, 3),
        ),
        "click": (_clicks(masks, rng), (1,)),
    }
    name = "box" if rng.random() < 0.7 else "click"
    points, codes = kinds[name]
    points = points.clamp(0, network.image_size - 1)
    labels = torch.tensor(codes, dtype=torch.int32).expand(count, -1)
    drawn = _draw(points, labels, network, config)
    out = network.decode(without, None, points, labels, drawn, multimask=None)
    total, _ = decoder_loss(out.masks, out.iou, out.object_logits, targets)
    if rng.random() < config["memory"]["mask_share"]:
        logits = mask_to_logits(masks[:, None].float(), side)
        found = network.heads_from_mask(without, masks[:, None].float())
        memory, positions = network.encode_memory(
            features.embed, found.high_res, found.object_logits, binarize=True
        )
        first = Tracked(memory, positions, found.pointer)
        if rng.random() < 0.5:
            # a disturbed mask as the prompt, as that of a neighbouring plane would be
            shift = rng.normal(0, 2.0, 2).round().astype(int)
            moved = torch.roll(logits, tuple(int(v) for v in shift), (2, 3))
            out = network.decode(without, None, *_nothing(count), moved, multimask=None)
            loss, _ = decoder_loss(out.masks, out.iou, out.object_logits, targets)
            total = total + loss
    else:
        first = remember(network, features, out.masks[:, :1], out, binarize=True)
    return first, total


def _nothing(count: int) -> tuple[Tensor, Tensor]:
    """The padding point that stands for no prompt at all."""
    return torch.zeros(count, 1, 2), torch.full((count, 1), -1, dtype=torch.int32)


def track(
    network: SAM2,
    features: ImageFeatures,
    index: int,
    first: Tracked,
    recent: Sequence[tuple[int, Tracked]],
    logits: Tensor | None,
) -> DecoderOutput:
    """Predict N objects on one frame from their memories.

    ``logits``: those of the frame before, for models to which they are given.
    """
    memories = [FrameMemory(first.memory, first.positions, 0)]
    pointers = [ObjectPointer(first.pointer, index)]
    for place, item in recent:
        if index - place < network.num_maskmem:
            memories.append(FrameMemory(item.memory, item.positions, index - place))
        pointers.append(ObjectPointer(item.pointer, index - place))
    count = len(first.pointer)
    conditioned = network.condition(
        features, memories, pointers, max_distance=POINTER_DISTANCE, count=count
    )
    if logits is not None:
        logits = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    return network.decode(conditioned, None, *_nothing(count), logits, multimask=None)


@torch.no_grad()
def follow(
    network: SAM2, clip: Clip, *, carry: bool, keep: int
) -> tuple[list[float], list[float]]:
    """IoU of each object on each later frame where it is: tracked, and copied.

    Objects start from their true masks; an empty mask where something is counts 0.
    """
    side = network.image_size // 4
    features = network.frame_features(clip.images)
    start = _frame(features, 0)
    masks = clip.masks[0][:, None].float()
    found = network.heads_from_mask(network.without_memory(start), masks)
    memory, positions = network.encode_memory(
        start.embed, found.high_res, found.object_logits, binarize=True
    )
    first = Tracked(memory, positions, found.pointer)
    logits = mask_to_logits(masks, side)
    recent: list[tuple[int, Tracked]] = []
    tracked, copied = [], []
    for index in range(1, len(clip.images)):
        current = _frame(features, index)
        out = track(
            network,
            current,
            index,
            first,
            recent[-keep:] if keep else [],
            logits if carry else None,
        )
        logits = torch.where(
            out.object_logits[..., None, None] > 0, out.masks[:, :1], -32.0
        )
        recent.append((index, remember(network, current, logits, out, binarize=False)))
        full = F.interpolate(logits, size=(network.image_size,) * 2, mode="bilinear")[:, 0]
        for row, truth in enumerate(clip.masks[index]):
            for values, mask in ((tracked, full[row] > 0), (copied, clip.masks[0, row])):
                either = int((mask | truth).sum())
                if either:
                    values.append(int((mask & truth).sum()) / either)
    return tracked, copied


class Run:
    """One run in a folder: network, optimiser, average, log and checkpoint."""

    def __init__(self, options: argparse.Namespace) -> None:
        here = Path(__file__).parent
        self.config: dict[str, Any] = json.loads((here / "config.json").read_text())
        self.options, self.out = options, options.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.out / "checkpoint.pt"
        self.network = build_network(self.config)
        root = os.environ["CELLPROMPT_DATA"]
        self.stacks = load_stacks(root, "train")
        self.simulated = simulated_stacks(range(1001, 1001 + options.simulated))
        self.planes = load_planes(root, "train")
        rng = np.random.default_rng(0)
        self.watched = [
            clip
            for stack in load_stacks(root, "val")
            for _ in range(5)
            if (clip := clip_from_stack(stack, 5, 512, 3, rng)) is not None
        ]
        self.step, self.elapsed = 0, 0.0
        if self.checkpoint.exists():
            saved = torch.load(self.checkpoint, weights_only=True)
            self.network.load_state_dict(saved["network"])
        else:
            saved = None
            given = torch.load(options.start_from, weights_only=True)["average"]
            self.network.load_state_dict(given)
            self._start_memory()
        self.optimizer = self._optimizer()
        self.average = Average(self.network, self.config["memory"]["ema_decay"])
        if saved is not None:
            self.optimizer.load_state_dict(saved["optimizer"])
            self.average.state, self.average.steps = (
                saved["average"],
                saved["average_steps"],
            )
            self.step, self.elapsed = saved["step"], saved["elapsed"]

    def _start_memory(self) -> None:
        """Start values of the memory: those of an earlier run, or as nothing were there."""
        if self.options.memory_from is None:
            clips = self._clips(256)
            images = torch.cat([next(clips).images for _ in range(8)])
            prepare_memory(self.network, images)
            return
        given = torch.load(self.options.memory_from, weights_only=True)["average"]
        memory = {k: v for k, v in given.items() if k.startswith(MEMORY_PARTS)}
        self.network.load_state_dict(memory, strict=False)

    def _optimizer(self) -> torch.optim.AdamW:
        settings = self.config["memory"]
        memory, decoder = [], []
        for name, parameter in self.network.named_parameters():
            if name.startswith(MEMORY_PARTS):
                memory.append(parameter)
            elif name.startswith("image_encoder") or "conv_s" in name:
                parameter.requires_grad_(False)
            else:
                decoder.append(parameter)
        self.parts = (memory, decoder)
        groups = [
            {"params": memory, "scale": 1.0},
            {"params": decoder, "scale": settings["decoder_rate"]},
        ]
        return torch.optim.AdamW(
            groups, lr=settings["learning_rate"], betas=(0.9, 0.98), weight_decay=0.01
        )

    @property
    def progress(self) -> float:
        """Share of the time that has passed, 0 to 1."""
        return self.elapsed / (self.options.minutes * 60)

    def log(self, **values: object) -> None:
        """Print a line and append it to the log."""
        line = json.dumps(
            {"step": self.step, "minutes": round(self.elapsed / 60, 2), **values}
        )
        print(line, flush=True)
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def save(self) -> None:
        """Write the checkpoint; a run that is stopped meanwhile keeps the last one."""
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state,
                "average_steps": self.average.steps,
                "step": self.step,
                "elapsed": self.elapsed,
                "config": json.dumps(self.config),
            },
            temporary,
        )
        temporary.replace(self.checkpoint)

    def _clips(self, size: int) -> Iterator[Clip]:
        settings = self.config["memory"]
        stream = ClipStream(
            self.stacks,
            self.simulated,
            self.planes,
            shares=settings["shares"],
            frames=settings["frames"],
            size=size,
            objects=settings["objects"],
            seed=self.step + 1,
        )
        return iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1))

    def validate(self) -> None:
        """Follow objects of validation stacks with the averaged weights."""
        kept = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.state)
        size, self.network.image_size = self.network.image_size, 512
        found: dict[str, float] = {}
        for name, carry, keep in (("carried", True, 3), ("tracked", False, 3)):
            scores = [
                follow(self.network, clip, carry=carry, keep=keep) for clip in self.watched
            ]
            found[name] = round(float(np.mean([v for s in scores for v in s[0]])), 4)
            found["copied"] = round(float(np.mean([v for s in scores for v in s[1]])), 4)
        self.network.image_size = size
        self.network.load_state_dict(kept)
        self.log(validation=found)

    def train(self) -> None:
        """Train until the time is up, stage by stage."""
        for stage in self.config["memory"]["stages"]:
            if self.progress < stage["until"]:
                self._train_stage(stage)
        self.save()
        self.validate()

    def _train_stage(self, stage: dict[str, Any]) -> None:
        clips = self._clips(stage["image_size"])
        self.network.image_size = stage["image_size"]
        saved = validated = last = time.monotonic()
        rng = np.random.default_rng(self.step)
        seen: dict[str, list[float]] = {}
        while self.progress < stage["until"]:
            for name, value in self._train_step(clips, stage["clips"], rng).items():
                seen.setdefault(name, []).append(value)
            now = time.monotonic()
            self.elapsed += now - last
            last = now
            if self.step % STEPS_BETWEEN_LOGS == 0:
                self.log(**{k: round(float(np.nanmean(v)), 4) for k, v in seen.items()})
                seen = {}
            if now - saved > SECONDS_BETWEEN_CHECKPOINTS:
                self.save()
                saved = now
            if now - validated > self.options.validate_every * 60:
                self.validate()
                validated = now
        self.save()

    def _train_step(
        self, clips: Iterator[Clip], count: int, rng: np.random.Generator
    ) -> dict[str, float]:
        settings = self.config["memory"]
        cosine = 0.5 * (1 + math.cos(math.pi * min(self.progress, 1.0)))
        rate = settings["learning_rate"] * max(cosine, 0.01)
        rate *= min(1.0, (self.step + 1) / settings["warmup_steps"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.optimizer.zero_grad(set_to_none=True)
        values: dict[str, list[float]] = {}
        for _ in range(count):
            loss, log = clip_loss(self.network, next(clips), self.config, rng)
            (loss / count).backward()
            for name, value in ({"loss": float(loss.detach())} | log).items():
                values.setdefault(name, []).append(value)
        norms = [
            float(torch.nn.utils.clip_grad_norm_(part, self.config["clip_norm"]))
            for part in self.parts
        ]
        self.step += 1
        if not all(math.isfinite(norm) for norm in norms):
            self.log(skipped="the gradient is not finite")
            return {}
        self.optimizer.step()
        self.average.update(self.network)
        return {"norm": norms[0]} | {k: float(np.nanmean(v)) for k, v in values.items()}


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--start-from", type=Path, help="checkpoint of the image part")
    parser.add_argument(
        "--memory-from", type=Path, help="checkpoint to take the memory's weights from"
    )
    parser.add_argument(
        "--minutes", type=float, default=45.0, help="time for the whole run"
    )
    parser.add_argument("--simulated", type=int, default=8, help="simulated stacks to make")
    parser.add_argument("--validate-every", type=float, default=10.0, metavar="MINUTES")
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    Run(options).train()


if __name__ == "__main__":
    main()
