"""Trains the bundled model.

``python training/train.py --out training/runs/NAME --minutes M``

A run can be stopped at any time; the same command goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asking import Asker
from data import load_raw, stretch_to_uint8
from measuring import choose, choose_runs, measure, measure_runs
from napari_cellprompt.core.inference.precision import computes_bfloat16
from napari_cellprompt.core.networks.focus import FocusNet
from napari_cellprompt.core.training.losses import loss_of
from napari_cellprompt.core.training.planes import make_plane, make_stack
from napari_cellprompt.core.training.rounds import answer_chains, correct
from napari_cellprompt.core.training.samples import BatchStream, Sampler
from scenes import ScenePool, StackPool
from simulate import divisions, nuclei_3d
from weights import Average, export, load_imagenet, read_start

__all__ = ["Run"]

STEPS_BETWEEN_LOGS = 50
SECONDS_BETWEEN_CHECKPOINTS = 150
VALIDATION_OBJECTS = 6
"""Of each kind, at each validation."""


def simulated(seeds: range) -> list[Any]:
    """Simulated nuclei: z-stacks, and movies; a mother is one with her daughters."""
    stacks = []
    for seed in seeds:
        if seed % 2:
            images, truth = nuclei_3d(seed, (20, 128, 128), 22)
        else:
            images, truth, tracks = divisions(seed, 14, 144, 9)
            for track in tracks:
                if track.parent:
                    truth[truth == track.label] = track.parent
        planes = [
            make_plane("simulated", "simulated", image, labels)
            for image, labels in zip(stretch_to_uint8(images), truth, strict=True)
        ]
        stacks.append(make_stack(planes))
    return stacks


class Run:
    """One training run in a folder of its own."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder: Path = options.out
        self.folder.mkdir(parents=True, exist_ok=True)
        self.recipe = json.loads(options.recipe.read_text(encoding="utf-8"))
        self.settings = self.recipe["training"]
        self.size = int(self.recipe["samples"]["size"])
        self.network = FocusNet(**self.recipe["network"])
        self.network.half_decoder = computes_bfloat16()
        if not options.from_scratch:
            load_imagenet(self.network)
        self.step, self.elapsed, self.samples, self.minutes_before = 0, 0.0, 0, 0.0
        checkpoint = self.folder / "checkpoint.pt"
        saved = None
        if checkpoint.exists():
            saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
            self.network.load_state_dict(saved["network"])
        elif options.start_from is not None:
            state, self.minutes_before = read_start(options.start_from)
            self.network.load_state_dict(state, strict=False)
        self.network = self.network.to(memory_format=torch.channels_last)
        inner = list(self.network.encoder.parameters())
        known = {id(parameter) for parameter in inner}
        rest = [p for p in self.network.parameters() if id(p) not in known]
        self.optimizer = torch.optim.AdamW(
            [{"params": inner}, {"params": rest}],
            lr=self.settings["rate"],
            weight_decay=self.settings["weight_decay"],
        )
        self.average = Average(self.network, self.settings["average"])
        if saved is not None:
            self.optimizer.load_state_dict(saved["optimizer"])
            self.average.state = saved["average"]
            self.average.steps = saved["average_steps"]
            self.step, self.elapsed = saved["step"], saved["elapsed"]
            self.samples = saved["samples"]
            self.minutes_before = saved["minutes_before"]
        self.rng = np.random.default_rng((options.seed, self.step))
        root = os.environ["CELLPROMPT_DATA"]
        self.planes, self.stacks = load_raw(root, "train")
        self.stacks += simulated(range(7000, 7006))
        planes, stacks = load_raw(root, "val")
        self.cases = choose(planes, VALIDATION_OBJECTS)
        self.runs = choose_runs(stacks, 5, 6)

    @property
    def progress(self) -> float:
        """Share of the time allotted that is over."""
        return self.elapsed / (60 * self.options.minutes)

    def log(self, **values: Any) -> None:
        """Add a line to the log."""
        line = {
            "step": self.step,
            "samples": self.samples,
            "minutes": round(self.elapsed / 60, 2),
            **values,
        }
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Write the checkpoint and the averaged weights, each in one go."""
        temporary = self.folder / "checkpoint.tmp"
        torch.save(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state,
                "average_steps": self.average.steps,
                "step": self.step,
                "elapsed": self.elapsed,
                "samples": self.samples,
                "minutes_before": self.minutes_before,
            },
            temporary,
        )
        temporary.replace(self.folder / "checkpoint.pt")
        self.export(self.folder / "cellprompt-focus.safetensors")

    def export(self, target: Path) -> None:
        """Write the averaged weights as the package reads them."""
        export(
            self.average.state,
            target,
            network=self.recipe["network"],
            size=self.size,
            training={
                "steps": self.step,
                "samples": self.samples,
                "minutes": round(self.elapsed / 60 + self.minutes_before, 1),
                "seed": self.options.seed,
            },
        )

    def validate(self) -> None:
        """Measure the averaged weights on a fixed choice of validation objects."""
        start = time.monotonic()
        network = FocusNet(**self.recipe["network"])
        network.load_state_dict(self.average.state)
        network.half_decoder = computes_bfloat16()
        asker = Asker(network.to(memory_format=torch.channels_last), self.size)
        scores = measure(asker, self.cases)
        following = measure_runs(asker, self.runs)
        means = {
            name: round(float(np.nanmean([s[name] for s in kinds.values()])), 4)
            for kinds in (scores, following)
            for name in next(iter(kinds.values()))
        }
        self.log(
            validation=means,
            kinds=_rounded(scores),
            following=_rounded(following),
            seconds=round(time.monotonic() - start, 1),
        )
        if self.options.keep:
            self.export(self.folder / f"at_{self.step:06d}.safetensors")

    def train(self) -> None:
        """Train until the time is up."""
        sampler = Sampler(
            self.planes,
            self.stacks,
            self.recipe["samples"],
            ScenePool(self.planes).draw,
            StackPool(self.stacks).draw,
        )
        stream = BatchStream(
            sampler, self.settings["batch"], self.options.seed * 10**6 + self.step
        )
        batches = iter(
            torch.utils.data.DataLoader(
                stream,
                batch_size=None,
                num_workers=1,
                worker_init_fn=_quiet,
                prefetch_factor=4,
            )
        )
        saved = validated = last = time.monotonic()
        seen: dict[str, list[float]] = {}
        self.network.train()
        while self.progress < 1:
            for name, value in self._step(next(batches)).items():
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
        self.save()
        self.validate()

    def _rate(self) -> float:
        """Warm-up, then a cosine over the time allotted, as a share of the full rate."""
        settings = self.settings
        warm = min(1.0, (self.step + 1) / settings["warm_up_steps"])
        cosine = 0.5 * (1 + math.cos(math.pi * min(self.progress, 1.0)))
        return float(
            warm * (settings["final_rate"] + (1 - settings["final_rate"]) * cosine)
        )

    def _step(self, batch: dict[str, Any]) -> dict[str, float]:
        settings, share = self.settings, self._rate()
        self.optimizer.param_groups[0]["lr"] = settings["encoder_rate"] * share
        self.optimizer.param_groups[1]["lr"] = settings["rate"] * share
        for name in ("image", "prompts"):
            batch[name] = batch[name].contiguous(memory_format=torch.channels_last)
        answer_chains(self.network, batch)
        if self.rng.random() < settings["corrected_share"]:
            rounds = 1 + int(self.rng.choice(len(settings["rounds"]), p=settings["rounds"]))
            for _ in range(rounds):
                correct(self.network, batch, self.rng)
        output = self.network(batch["image"], batch["prompts"], dense="dense" in batch)
        loss, log = loss_of(output, batch, settings["losses"])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), settings["clip_norm"]
        )
        self.step += 1
        self.samples += len(batch["kind"])
        if not bool(torch.isfinite(norm)):
            self.log(skipped="the gradient is not finite")
            return {}
        self.optimizer.step()
        self.average.update(self.network)
        return {"loss": float(loss.detach()), "norm": float(norm), **log}


def _rounded(scores: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {
        kind: {name: round(value, 4) for name, value in some.items()}
        for kind, some in scores.items()
    }


def _quiet(_: int) -> None:
    torch.set_num_threads(1)


def main() -> None:
    """Train from the command line."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--minutes", type=float, default=90.0, help="time for the whole run"
    )
    parser.add_argument("--recipe", type=Path, default=here / "recipe.json")
    parser.add_argument("--validate-every", type=float, default=10.0, metavar="MINUTES")
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="FILE",
        help="a checkpoint or an exported file: begin with its averaged weights, with a "
        "schedule of this run's own",
    )
    parser.add_argument(
        "--from-scratch", action="store_true", help="begin without ImageNet's weights"
    )
    parser.add_argument("--keep", action="store_true", help="keep the weights measured")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    Run(options).train()


if __name__ == "__main__":
    main()
