"""One step after another: samples are drawn, answered, corrected and learnt from."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_cellprompt.core.inference.crop.looking import fused
from napari_cellprompt.core.inference.precision import computes_bfloat16
from napari_cellprompt.core.training.losses import loss_of
from napari_cellprompt.core.training.rounds import answer_chains, correct
from napari_cellprompt.core.training.sample import Sample, collate
from napari_cellprompt.core.training.samples import Sampler

if TYPE_CHECKING:
    from napari_cellprompt.core.networks.focus import FocusNet
    from napari_cellprompt.core.zoo.load import LoadedModel

    from .lessons import Lessons
    from .settings import AdaptSettings

__all__ = ["Learner"]

_ABSENT = 0.3
"""Presence below which the model as it was is believed that a place holds nothing."""
_TRIES = 20
_DECODER = ("levels.", "full.", "mask_head.", "dense_head.", "scores.")


class Learner:
    """A copy of a network that learns; the network itself stays as it is.

    What was not accepted may be an object all the same. Where not every object is marked,
    the model as it was says which places hold nothing, and the dense map is only changed
    on accepted objects.

    Parameters
    ----------
    loaded
        A crop-wise model.
    lessons
        What is learnt from.
    settings
        How.
    """

    def __init__(
        self, loaded: LoadedModel, lessons: Lessons, settings: AdaptSettings
    ) -> None:
        self.settings, self._complete = settings, lessons.complete
        self._before = _laid_out(fused(loaded.focus))
        self._original = loaded.focus
        self.network = _laid_out(copy.deepcopy(loaded.focus).eval())
        if settings.parts == "decoder":
            # nothing before the decoder changes: its norms may be part of its convolutions
            self.network.encoder = self._before.encoder
        self._trained = {
            name: parameter
            for name, parameter in self.network.named_parameters()
            if settings.parts == "all" or name.startswith(_DECODER)
        }
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in self._trained)
        self.optimizer = torch.optim.AdamW(
            self._trained.values(), lr=settings.rate, weight_decay=settings.weight_decay
        )
        self._sampler = Sampler(
            lessons.planes, lessons.stacks, _recipe(loaded.image_size, lessons, settings)
        )

    def step(self, number: int, progress: float) -> float:
        """Learn from a batch, which depends on the seed and on ``number`` alone.

        Parameters
        ----------
        number
            Of the step, from 0.
        progress
            Share of the run that is over; the rate falls with it.

        Returns
        -------
        float
            The loss.
        """
        settings = self.settings
        rng = np.random.default_rng((settings.seed, number))
        warm = min(1.0, (number + 1) / settings.warm_up_steps)
        rate = settings.rate * warm * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.set_flush_denormal(True)
        try:
            return self._learn(rng)
        finally:
            torch.set_flush_denormal(False)

    def _learn(self, rng: np.random.Generator) -> float:
        settings = self.settings
        batch = collate([self._draw(rng) for _ in range(settings.batch)])
        for name in ("image", "prompts"):
            batch[name] = batch[name].contiguous(memory_format=torch.channels_last)
        answer_chains(self.network, batch)
        if rng.random() < settings.corrected_share:
            correct(self.network, batch, rng)
        if "dense" in batch and not self._complete:
            self._keep_dense(batch)
        output = self.network(batch["image"], batch["prompts"], dense="dense" in batch)
        loss, _ = loss_of(output, batch, dict(settings.losses))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._trained.values(), settings.clip_norm)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
        return float(loss.detach())

    def _draw(self, rng: np.random.Generator) -> Sample:
        for _ in range(_TRIES):
            sample = self._sampler.draw(rng)
            if sample.kind != "nothing" or self._complete or self._holds_nothing(sample):
                break
        return sample

    @torch.no_grad()
    def _holds_nothing(self, sample: Sample) -> bool:
        output = self._before(
            torch.from_numpy(sample.image)[None], torch.from_numpy(sample.prompts)[None]
        )
        return float(torch.sigmoid(output.presence[0])) < _ABSENT

    @torch.no_grad()
    def _keep_dense(self, batch: dict[str, Any]) -> None:
        """What the dense map said before is right wherever nothing was accepted."""
        rows = batch["dense_rows"]
        output = self._before(batch["image"][rows], batch["prompts"][rows], dense=True)
        known = batch["dense"][:, :1] > 0.5
        batch["dense"] = torch.where(known, batch["dense"], torch.sigmoid(output.dense))

    def state(self) -> dict[str, torch.Tensor]:
        """All tensors as they are to be used: on the way from before to what was learnt."""
        state = {
            name: tensor.detach().clone()
            for name, tensor in self._original.state_dict().items()
        }
        for name, parameter in self._trained.items():
            before, learnt = state[name], parameter.detach().to(state[name].dtype)
            state[name] = torch.lerp(before, learnt, self.settings.share).contiguous()
        return state

    def network_of(self, state: dict[str, torch.Tensor]) -> FocusNet:
        """A network with the tensors that :meth:`state` gave."""
        network = copy.deepcopy(self._original)
        network.load_state_dict(state)
        return network.eval()

    def saved(self) -> dict[str, Any]:
        """What it takes to go on from here."""
        return {
            "trained": {name: value.detach() for name, value in self._trained.items()},
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what :meth:`saved` gave."""
        with torch.no_grad():
            for name, value in saved["trained"].items():
                self._trained[name].copy_(value)
        self.optimizer.load_state_dict(saved["optimizer"])


def _laid_out(network: FocusNet) -> FocusNet:
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.half_decoder = computes_bfloat16()
    return network


def _recipe(size: int, lessons: Lessons, settings: AdaptSettings) -> dict[str, Any]:
    """As in ``training/recipe.json``; nothing is made up, and ends are not known."""
    return {
        "size": size,
        "kinds": dict(settings.kinds),
        "made_up": 0.0,
        "dense_share": 0.0,
        "real_neighbours": 0.6 if lessons.stacks else 0.0,
        "painted_stacks": 0.0,
        "ends": 0.0,
        "both_sides": 0.2,
        "looks_ahead": 0.15,
        "chain": [1.0],
        "true_priors": 0.4,
        "modalities": {"accepted": 1.0},
        "stacks": {},
    }
