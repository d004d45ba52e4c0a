"""Trains the image part of a small SAM 2.1 network; stops and resumes at any time.

``CELLPROMPT_DATA=... python training/train.py --out training/runs/nano --minutes 90``
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

from auxiliary import DenseHead
from data import load_planes, load_splits
from evaluate import evaluate, pick_objects, summarise
from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.zoo.load import load_model
from objective import batch_loss
from prompts import Batch, BatchStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from data import Plane
    from napari_cellprompt.core.networks.sam2 import SAM2

__all__ = ["Average", "build_network", "main", "mean_of_runs"]

MEMORY_PARTS = ("memory_", "maskmem", "no_mem_pos", "no_obj", "obj_ptr", "mask_downsample")
"""Start of the names of what images alone do not train."""
SECONDS_BETWEEN_CHECKPOINTS = 240
STEPS_BETWEEN_LOGS = 50
STEPS_OF_NEW_HEAD = 150
"""A new per-pixel head beside a trained encoder teaches it only from this step on."""


def build_network(config: dict[str, Any]) -> SAM2:
    """The network with start values for training from scratch.

    The mask decoder starts as PyTorch's layers do: from the small values that suit the
    trunk its hypernetworks need hundreds of steps to leave zero.
    """
    network = build_sam2(image_size=config["image_size"], **config["network"])
    for module in network.sam_mask_decoder.modules():
        if isinstance(module, torch.nn.Linear):
            module.reset_parameters()
    return network


class Average:
    """A running mean of the weights, which is what gets evaluated and exported."""

    def __init__(self, network: SAM2, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: SAM2) -> None:
        """Move towards the network's weights; faster in the beginning."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(
            list(self.state.values()), list(network.state_dict().values()), 1 - decay
        )


def _optimizer(network: SAM2, head: DenseHead, config: dict[str, Any]) -> torch.optim.AdamW:
    decayed, plain = [], []
    for name, parameter in network.named_parameters():
        if name.startswith(MEMORY_PARTS):
            parameter.requires_grad_(False)
        elif parameter.ndim < 2 or "embed" in name or "token" in name:
            plain.append(parameter)
        else:
            decayed.append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config["weight_decay"]},
        {"params": [*plain, *head.parameters()], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=config["learning_rate"], betas=(0.9, 0.98), fused=True
    )


def _learning_rate(config: dict[str, Any], progress: float, step: int) -> float:
    """Warm-up by steps, then a cosine over the time allotted."""
    first, last = config["learning_rate"], config["last_learning_rate"]
    rate = last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return float(rate * min(1.0, (step + 1) / config["warmup_steps"]))


def watched_objects(planes: list[Plane]) -> list[tuple[Plane, list[int]]]:
    """A fixed choice of validation objects, few enough to be measured again and again."""
    fluorescence = [plane for plane in planes if plane.modality == "fluorescence"]
    others: dict[str, list[Plane]] = {}
    for plane in planes:
        if plane.modality != "fluorescence":
            others.setdefault(plane.modality, []).append(plane)
    chosen = pick_objects(fluorescence[:: max(len(fluorescence) // 24, 1)], 3)
    for group in others.values():
        chosen += pick_objects(group[len(group) // 2 :: max(len(group) // 3, 1)][:2], 8)
    return chosen


def mean_of_runs(checkpoints: Sequence[Path], device: torch.device) -> dict[str, Any]:
    """The first checkpoint, with the mean of the averaged weights of all of them.

    Runs that went on from the same weights with other seeds lie in one valley of the
    loss: their mean is better than each (Wortsman et al. 2022, arXiv:2203.05482). An
    exported file counts as a checkpoint that has nothing but those weights.
    """
    saved = [_load(path, device) for path in checkpoints]
    state: dict[str, Any] = saved[0]
    for name, tensor in state["average"].items():
        if tensor.is_floating_point():
            total = torch.stack([one["average"][name] for one in saved])
            state["average"][name] = total.mean(dim=0)
    return state


def _load(path: Path, device: torch.device) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        return {"average": load_model(path, device=device).network.state_dict()}
    saved: dict[str, Any] = torch.load(path, weights_only=True, map_location=device)
    return saved


class Run:
    """One training run in a folder: network, optimiser, average, log and checkpoint."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.config: dict[str, Any] = json.loads(options.config.read_text())
        self.options, self.device = options, torch.device(options.device)
        if self.device.type == "cuda":
            self.config |= self.config["gpu"]
        self.out: Path = options.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.network = build_network(self.config).to(self.device)
        # convolutions are a tenth faster in this layout
        self.network.image_encoder.to(memory_format=torch.channels_last)
        self.head = DenseHead(self.config["network"]["d_model"]).to(self.device)
        self.optimizer = _optimizer(self.network, self.head, self.config)
        self.average = Average(self.network, self.config["ema_decay"])
        self.step, self.elapsed = 0, 0.0
        self.head_alone = 0
        self.checkpoint = self.out / "checkpoint.pt"
        if self.checkpoint.exists():
            self._resume()
        elif options.start_from:
            state = mean_of_runs(options.start_from, self.device)
            self.network.load_state_dict(state["average"])
            if options.head_from:
                state = mean_of_runs([options.head_from], self.device)
            if "head" in state:
                self.head.load_state_dict(state["head"])
            else:
                self.head_alone = STEPS_OF_NEW_HEAD
            self.average = Average(self.network, self.config["ema_decay"])
        root = os.environ["CELLPROMPT_DATA"]
        self.planes = load_planes(root, "train")
        self.watched = watched_objects(load_planes(root, "val"))

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

    def _resume(self) -> None:
        saved = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        self.network.load_state_dict(saved["network"])
        self.head.load_state_dict(saved["head"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average.state, self.average.steps = saved["average"], saved["average_steps"]
        self.step, self.elapsed = saved["step"], saved["elapsed"]

    def save(self) -> None:
        """Write the checkpoint; a run that is stopped meanwhile keeps the last one."""
        temporary = self.checkpoint.with_suffix(".tmp")
        torch.save(
            {
                "network": self.network.state_dict(),
                "head": self.head.state_dict(),
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

    def _batches(self, stage: dict[str, Any]) -> Iterator[Batch]:
        stream = BatchStream(
            self.planes,
            load_splits()["weights"],
            size=stage["image_size"],
            images=stage["images"],
            objects=self.config["objects_per_image"],
            seed=self.step + 1 + 1_000_000 * self.options.seed,
        )
        return iter(
            torch.utils.data.DataLoader(
                stream,
                batch_size=None,
                num_workers=self.options.workers,
                pin_memory=self.device.type == "cuda",
                worker_init_fn=_quiet_worker,
            )
        )

    def validate(self) -> None:
        """Measure the averaged weights on a fixed choice of validation objects."""
        start = time.monotonic()
        kept = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average.state)
        drawing = {name: self.config["drawing"][name] for name in ("amplitude", "sigma")}
        scores = evaluate(self.network, self.watched, drawing)
        self.network.load_state_dict(kept)
        self.network.train()
        seconds = round(time.monotonic() - start, 1)
        self.log(validation=summarise(scores), seconds=seconds)

    def train(self) -> None:
        """Train until the time is up, stage by stage."""
        for stage in self.config["stages"]:
            if self.progress < stage["until"]:
                self._train_stage(stage)
        self.save()
        self.validate()

    def _train_stage(self, stage: dict[str, Any]) -> None:
        batches = self._batches(stage)
        self.network.image_size = stage["image_size"]
        self.network.train()
        saved = validated = last = time.monotonic()
        seen: dict[str, list[float]] = {}
        while self.progress < stage["until"]:
            values = self._train_step(next(batches).to(self.device))
            for name, value in values.items():
                seen.setdefault(name, []).append(value)
            now = time.monotonic()
            self.elapsed += now - last
            last = now
            if self.step % STEPS_BETWEEN_LOGS == 0:
                self.log(**{k: round(float(np.mean(v)), 4) for k, v in seen.items()})
                seen = {}
            if now - saved > SECONDS_BETWEEN_CHECKPOINTS:
                self.save()
                saved = now
            if now - validated > self.options.validate_every * 60:
                self.validate()
                validated = now
                # measuring counts as time too: the run must end when it was told to
        self.save()

    def _clip_gradients(self) -> float:
        """Limit the gradient of each part by itself.

        The layer norms of the mask prompt's convolutions give a huge gradient now and
        then; clipped together with the rest, that step would teach nothing else.
        """
        norms = []
        for part in (
            self.head,
            self.network.image_encoder,
            self.network.sam_prompt_encoder,
            self.network.sam_mask_decoder,
        ):
            norm = torch.nn.utils.clip_grad_norm_(
                part.parameters(), self.config["clip_norm"]
            )
            norms.append(float(norm))
        return max(norms)

    def _train_step(self, batch: Batch) -> dict[str, float]:
        rate = _learning_rate(self.config, self.progress, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        correct = None
        if (
            self.progress >= self.config["corrected_from"]
            and np.random.random() < self.config["corrected_share"]
        ):
            correct = str(np.random.choice(("click", "box", "mask"), p=(0.5, 0.25, 0.25)))
        shares = self.config["rounds"]
        rounds = int(np.random.choice(range(1, len(shares) + 1), p=shares))
        with torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.options.bfloat16
        ):
            loss, log = batch_loss(
                self.network,
                self.head,
                batch,
                self.config,
                correct=correct,
                rounds=rounds,
                teach=self.step >= self.head_alone,
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = self._clip_gradients()
        self.step += 1
        if not math.isfinite(norm):
            self.log(skipped="the gradient is not finite")
            return {}
        self.optimizer.step()
        self.average.update(self.network)
        return {"loss": float(loss.detach()), "norm": norm, "rate": rate * 1e4, **log}


def _quiet_worker(_: int) -> None:
    torch.set_num_threads(1)
    if hasattr(os, "nice"):
        os.nice(5)


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--minutes", type=float, default=90.0, help="time for the whole run"
    )
    parser.add_argument(
        "--config", type=Path, default=Path(__file__).with_name("config.json")
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--workers",
        type=int,
        help="processes that cut crops (default: 1, with a GPU 12 at most)",
    )
    parser.add_argument("--validate-every", type=float, default=10.0, metavar="MINUTES")
    parser.add_argument(
        "--start-from",
        type=Path,
        nargs="+",
        metavar="CHECKPOINT",
        help="go on from it with a new schedule; from the mean of several",
    )
    parser.add_argument(
        "--head-from",
        type=Path,
        metavar="CHECKPOINT",
        help="the per-pixel head, where a run of the memory is gone on from",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="another one for each run to be averaged"
    )
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16")
    options = parser.parse_args()
    if options.workers is None:
        spare = max((os.cpu_count() or 2) - 1, 1)
        options.workers = 1 if options.device == "cpu" else min(spare, 12)
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    np.random.seed(options.seed)
    Run(options).train()


if __name__ == "__main__":
    main()
