"""Draws samples of following: an object is known on planes beside the asked one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.inference.crops import CHANNELS, Crop, crop_around

from .clicks import answer_like
from .sample import Sample
from .views import View, dense_target, look_at, random_look, warped
from .warps import Warp, random_motion

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .planes import Plane, Stack

    Floats = NDArray[np.float32]

__all__ = ["Follower"]

WIDE = 1.6
MOST_DISTANT = 4


class Follower:
    """Draws neighbouring planes from stacks, and makes some from single planes.

    Parameters
    ----------
    stacks
        The training part of the data.
    recipe
        Section ``samples`` of ``recipe.json``.
    draw_plane
        Hands out single planes.
    paint_stack
        Makes up a stack, for the share ``painted_stacks`` of the recipe; at least one of
        its objects is on two planes. None where that is 0.
    """

    def __init__(
        self,
        stacks: list[Stack],
        recipe: dict[str, Any],
        draw_plane: Callable[[np.random.Generator, float], Plane],
        paint_stack: Callable[[np.random.Generator], Stack] | None = None,
    ) -> None:
        self._stacks, self._recipe = stacks, recipe
        self._draw_plane = draw_plane
        self._size = int(recipe["size"])
        weights = np.array([recipe["stacks"].get(stack.dataset, 1.0) for stack in stacks])
        self._shares = weights / weights.sum()
        self._paint_stack = paint_stack

    def draw(self, rng: np.random.Generator) -> Sample | None:
        """A sample; None where the attempt came to nothing."""
        if rng.random() < self._recipe["real_neighbours"]:
            return self._from_stack(rng)
        return self._from_plane(rng)

    def _from_stack(self, rng: np.random.Generator) -> Sample | None:
        stack = self._stacks[int(rng.choice(len(self._stacks), p=self._shares))]
        if rng.random() < self._recipe["painted_stacks"] and self._paint_stack is not None:
            stack = self._paint_stack(rng)
        numbers = [number for number, planes in stack.present.items() if len(planes) > 1]
        number = numbers[int(rng.integers(len(numbers)))]
        present = stack.present[number]
        direction = 1 if rng.random() < 0.5 else -1
        distance = int(rng.choice((1, 2, 3), p=(0.78, 0.16, 0.06)))
        if rng.random() < self._recipe["ends"]:
            last = present[-1] if direction > 0 else present[0]
            asked = last + direction * int(rng.choice((1, 2, 3), p=(0.6, 0.25, 0.15)))
            known = last if rng.random() < 0.7 else last - direction
            if rng.random() < 0.35:
                # the last plane itself, so that an end is not a matter of plane counting
                asked, known = last, last - direction * distance
        else:
            asked = present[int(rng.integers(len(present)))]
            known = asked - direction * distance
        if not 0 <= asked < len(stack.planes) or known not in present:
            return None
        return self._sample_between(stack, number, known, asked, direction, rng)

    def _sample_between(
        self,
        stack: Stack,
        number: int,
        known: int,
        asked: int,
        direction: int,
        rng: np.random.Generator,
    ) -> Sample | None:
        # the answers on the last planes of the chain will be the network's own
        shares = self._recipe["chain"]
        chain = [known]
        for _ in range(int(rng.choice(len(shares), p=shares))):
            if chain[0] - direction not in stack.present[number]:
                break
            chain.insert(0, chain[0] - direction)
        start = chain[0]
        row = stack.planes[start].row(number)
        if row is None:
            return None
        box = tuple(float(v) for v in stack.planes[start].boxes[row])
        share = float(np.clip(np.exp(rng.normal(np.log(0.45), 0.2)), 0.2, 0.75))
        crop = crop_around(box, share, self._size)
        away = rng.normal(0.0, 0.05 * crop.side, 2)
        crop = Crop(crop.y0 + away[0], crop.x0 + away[1], crop.side, crop.size)
        views = {
            position: look_at(stack.planes[position], number, crop)
            for position in {*chain, asked}
        }
        look = random_look(rng, stack.planes[0].image.ndim == 3)

        def seen(position: int) -> Floats:
            return look.varied(rng).apply(views[position].image, rng)

        prompts = self._empty()
        image = look.apply(views[asked].image, rng)
        images = {position: seen(position) for position in chain}
        self._put(
            prompts,
            "before",
            images[known],
            self._prior(views[known], number, rng),
            abs(asked - known),
            rng,
        )
        other = self._other_side(stack, number, asked, direction, rng)
        if other is not None:
            position, with_mask = other
            views[position] = look_at(stack.planes[position], number, crop)
            mask = (views[position].cover > 0.5).astype(np.float32) if with_mask else None
            self._put(prompts, "after", seen(position), mask, abs(position - asked), rng)
        sample = self._sample(views[asked], image, prompts, rng)
        if len(chain) > 1:
            sample.chain_image = np.stack([images[position] for position in chain[1:]])
            steps = []
            for position in chain[:-1]:
                steps.append(self._empty())
                prior = self._prior(views[position], number, rng)
                self._put(steps[-1], "before", images[position], prior, 1, rng)
            sample.chain_prompts = np.stack(steps)
        return sample

    def _other_side(
        self,
        stack: Stack,
        number: int,
        asked: int,
        direction: int,
        rng: np.random.Generator,
    ) -> tuple[int, bool] | None:
        """A plane beyond the asked one, and whether the object is known there."""
        drawn = rng.random()
        if drawn < self._recipe["both_sides"]:
            position = asked + direction * int(rng.integers(1, MOST_DISTANT + 1))
            return (position, True) if 0 <= position < len(stack.planes) else None
        if drawn < self._recipe["both_sides"] + self._recipe["looks_ahead"]:
            position = asked + direction
            return (position, False) if 0 <= position < len(stack.planes) else None
        return None

    def _from_plane(self, rng: np.random.Generator) -> Sample | None:
        """Neighbours made by moving and bending one plane."""
        plane = self._draw_plane(rng, self._recipe["made_up"])
        row = int(rng.integers(len(plane.ids)))
        number = int(plane.ids[row])
        box = tuple(float(v) for v in plane.boxes[row])
        share = float(np.clip(np.exp(rng.normal(np.log(0.45), 0.2)), 0.2, 0.7))
        crop = crop_around(box, share / WIDE, round(WIDE * self._size))
        away = rng.normal(0.0, 0.03 * crop.side, 2)
        crop = Crop(crop.y0 + away[0], crop.x0 + away[1], crop.side, crop.size)
        large = look_at(plane, number, crop)
        extent = max(box[2] - box[0], box[3] - box[1]) / crop.step
        middle = ((box[1] + box[3]) / 2 - crop.y0, (box[0] + box[2]) / 2 - crop.x0)
        centre = (
            middle[0] / crop.step - crop.size / 2,
            middle[1] / crop.step - crop.size / 2,
        )
        still = rng.random() < 0.2
        motion = Warp() if still else random_motion(rng, extent, 1.0)
        before = warped(large, Warp(), self._size, centre)
        now = warped(large, motion, self._size, centre)
        absent = rng.random() < 0.12
        if absent:
            elsewhere = self._elsewhere(plane, number, crop, before.cover, rng)
            if elsewhere is None:
                return None
            now = elsewhere
        look = random_look(rng, plane.image.ndim == 3)
        prompts = self._empty()
        before_image = look.varied(rng).apply(before.image, rng)
        distance = 1 if rng.random() < 0.8 else 2
        self._put(
            prompts, "before", before_image, self._prior(before, number, rng), distance, rng
        )
        if not absent and rng.random() < self._recipe["both_sides"]:
            further = random_motion(rng, extent, 0.5)
            onward = Warp(
                motion.angle + further.angle,
                (motion.scale[0] * further.scale[0], motion.scale[1] * further.scale[1]),
                (2 * motion.shift[0], 2 * motion.shift[1]),
                motion.bend,
            )
            after = warped(large, onward, self._size, centre)
            mask = (after.cover > 0.5).astype(np.float32)
            self._put(
                prompts, "after", look.varied(rng).apply(after.image, rng), mask, 1, rng
            )
        return self._sample(now, look.apply(now.image, rng), prompts, rng)

    def _elsewhere(
        self,
        plane: Plane,
        number: int,
        crop: Crop,
        cover: Floats,
        rng: np.random.Generator,
    ) -> View | None:
        """A view of another place, with little where the object would be."""
        height, width = plane.labels.shape
        inner = crop.side / WIDE
        for _ in range(6):
            y = rng.uniform(0, max(height - inner, 1))
            x = rng.uniform(0, max(width - inner, 1))
            view = look_at(plane, number, Crop(y, x, inner, self._size))
            under = view.ids[cover > 0.5]
            if not (view.cover > 0).any() and (under > 0).mean() < 0.15:
                return View(view.image, view.cover, view.ids, 0.0)
        return None

    def _prior(self, view: View, number: int, rng: np.random.Generator) -> Floats:
        """The mask handed on: hard, and mostly not quite right."""
        if rng.random() < self._recipe["true_priors"]:
            return (view.cover > 0.5).astype(np.float32)
        return answer_like(view.cover, view.ids, number, rng)

    def _put(
        self,
        prompts: Floats,
        side: str,
        image: Floats,
        mask: Floats | None,
        distance: int,
        rng: np.random.Generator,
    ) -> None:
        """Fill the planes of one side; without a mask only the image is known."""
        if mask is None or rng.random() < 0.85:
            prompts[CHANNELS[f"{side}_image"]] = image.mean(axis=0)
        if mask is not None:
            prompts[CHANNELS[f"{side}_mask"]] = mask
            prompts[CHANNELS[f"{side}_nearness"]] = 1 / max(distance, 1)

    def _empty(self) -> Floats:
        return np.zeros((len(CHANNELS), self._size, self._size), np.float32)

    def _sample(
        self, view: View, image: Floats, prompts: Floats, rng: np.random.Generator
    ) -> Sample:

        dense = None
        if rng.random() < self._recipe["dense_share"]:
            dense = dense_target(view.ids)
        return Sample(image, prompts, view.cover, view.whole, "follow", dense=dense)
