"""Trains the memory of the network on short clips; the image encoder stays as it is.

``CELLPROMPT_DATA=... python training/memory.py --out training/runs/memory
--start-from training/runs/nano/checkpoint.pt --minutes 45``. The prompt encoder and the
mask decoder follow at a lower rate. Tracking needs that; but from clips alone they forget
single images, clicks on small objects above all, so each step shows some of those too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from clips import Clip, ClipStream, clip_from_stack, load_stacks, simulated_stacks
from data import load_planes, load_splits
from objective import batch_loss
from prompts import Batch, BatchStream
from tracking import clip_loss, follow, prepare_memory
from train import MEMORY_PARTS, Average, build_network, mean_of_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["main"]

SECONDS_BETWEEN_CHECKPOINTS = 180
STEPS_BETWEEN_LOGS = 25


class Run:
    """One run in a folder: network, optimiser, average, log and checkpoint."""

    def __init__(self, options: argparse.Namespace) -> None:
        here = Path(__file__).parent
        self.config: dict[str, Any] = json.loads((here / "config.json").read_text())
        self.options, self.out = options, options.out
        self.device = torch.device(options.device)
        self.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = self.out / "checkpoint.pt"
        self.network = build_network(self.config).to(self.device)
        root = os.environ["CELLPROMPT_DATA"]
        self.stacks = load_stacks(root, "train")
        self.simulated = simulated_stacks(range(1001, 1001 + options.simulated))
        self.planes = load_planes(root, "train")
        rng = np.random.default_rng(0)
        self.watched = [
            clip.to(self.device)
            for stack in load_stacks(root, "val")
            for _ in range(5)
            if (clip := clip_from_stack(stack, 5, 512, 3, rng)) is not None
        ]
        self.step, self.elapsed = 0, 0.0
        self.images = self._images()
        if self.checkpoint.exists():
            saved = self._load(self.checkpoint)
            self.network.load_state_dict(saved["network"])
        else:
            saved = None
            given = mean_of_runs(options.start_from, self.device)["average"]
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

    def _images(self) -> Iterator[Batch]:
        """Endless batches of single images; the worker starts with the first one."""
        settings = self.config["memory"]["replay"]
        stream = BatchStream(
            self.planes,
            load_splits()["weights"],
            size=settings["image_size"],
            images=settings["images"],
            objects=self.config["objects_per_image"],
            seed=1 + 1_000_000 * self.options.seed,
        )
        yield from torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1)

    def _load(self, path: Path) -> dict[str, Any]:
        saved: dict[str, Any] = torch.load(
            path, weights_only=True, map_location=self.device
        )
        return saved

    def _start_memory(self) -> None:
        """Start values of the memory: those of an earlier run, or as nothing were there."""
        if self.options.memory_from is None:
            clips = self._clips(256)
            images = torch.cat([next(clips).images.to(self.device) for _ in range(8)])
            prepare_memory(self.network, images)
            return
        given = self._load(self.options.memory_from)["average"]
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
            seed=self.step + 1 + 1_000_000 * self.options.seed,
        )
        loader = torch.utils.data.DataLoader(
            stream,
            batch_size=None,
            num_workers=self.options.workers,
            pin_memory=self.device.type == "cuda",
        )
        return iter(loader)

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
        rng = np.random.default_rng((self.step, self.options.seed))
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

    def _replay(self, rng: np.random.Generator) -> dict[str, float]:
        """Add the gradient of prompts on single images, at the scale of those."""
        settings = self.config["memory"]["replay"]
        if settings["weight"] == 0:
            return {}
        size, self.network.image_size = self.network.image_size, settings["image_size"]
        correct = None
        if rng.random() < self.config["corrected_share"]:
            correct = str(rng.choice(("click", "box", "mask"), p=(0.5, 0.25, 0.25)))
        batch = next(self.images).to(self.device)
        loss, log = batch_loss(self.network, None, batch, self.config, correct=correct)
        (settings["weight"] * loss).backward()
        self.network.image_size = size
        return {f"image_{name}": value for name, value in log.items() if "_iou" in name}

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
            loss, log = clip_loss(
                self.network, next(clips).to(self.device), self.config, rng
            )
            (loss / count).backward()
            for name, value in ({"loss": float(loss.detach())} | log).items():
                values.setdefault(name, []).append(value)
        for name, value in self._replay(rng).items():
            values[name] = [value]
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
    parser.add_argument(
        "--start-from",
        type=Path,
        nargs="+",
        metavar="CHECKPOINT",
        help="of the image part; the mean of several",
    )
    parser.add_argument(
        "--memory-from", type=Path, help="checkpoint to take the memory's weights from"
    )
    parser.add_argument(
        "--minutes", type=float, default=45.0, help="time for the whole run"
    )
    parser.add_argument("--simulated", type=int, default=8, help="simulated stacks to make")
    parser.add_argument("--validate-every", type=float, default=10.0, metavar="MINUTES")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that make clips (GPU: about 8)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="another one for each run to be averaged"
    )
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    np.random.seed(options.seed)
    Run(options).train()


if __name__ == "__main__":
    main()
