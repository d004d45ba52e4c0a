"""Draws training samples: a crop, its prompts, and what the network should answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_cellprompt.core.inference.crops import (
    CHANNELS,
    Crop,
    crop_around,
    draw_box,
    draw_points,
    draw_stroke,
)

from .clicks import (
    answer_like,
    correction,
    inner_click,
    loosened,
    rough,
    stroke,
    wrong_answer,
)
from .following import Follower
from .sample import Sample, collate, turned
from .views import View, dense_target, look_at, random_look, warped
from .warps import random_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from .planes import Plane, Stack

    Floats = NDArray[np.float32]

__all__ = ["BatchStream", "Sampler"]

WIDE = 1.5
"""How much larger a crop is read when it is turned or bent afterwards."""
UNLABELLED = frozenset(("electron microscopy", "neurites", "neurons"))
"""Kinds of image in which there are objects that nobody outlined."""


class Sampler:
    """Draws samples of all kinds.

    Parameters
    ----------
    planes, stacks
        The training part of the data.
    recipe
        Section ``samples`` of ``training/recipe.json``.
    paint
        Makes up a plane, for the share ``made_up`` of the recipe; None where that is 0.
    paint_stack
        Makes up a stack, for the share ``painted_stacks``; likewise.
    """

    def __init__(
        self,
        planes: list[Plane],
        stacks: list[Stack],
        recipe: dict[str, Any],
        paint: Callable[[np.random.Generator], Plane] | None = None,
        paint_stack: Callable[[np.random.Generator], Stack] | None = None,
    ) -> None:
        self.recipe = recipe
        self.size = int(recipe["size"])
        weights = recipe["modalities"]
        self._modalities = sorted(weights)
        share = np.array([weights[name] for name in self._modalities])
        self._shares = share / share.sum()
        self._planes = {
            name: [p for p in planes if p.modality == name] for name in self._modalities
        }
        self._counts = {}
        for name, some in self._planes.items():
            number = np.sqrt([len(plane.ids) for plane in some])
            self._counts[name] = number / number.sum()
        self._paint = paint
        self._kinds = list(recipe["kinds"])
        kinds = np.array([recipe["kinds"][name] for name in self._kinds])
        self._kind_shares = kinds / kinds.sum()
        self._follower = Follower(stacks, recipe, self.draw_plane, paint_stack)

    def draw_plane(self, rng: np.random.Generator, made_up: float) -> Plane:
        """A plane, a share ``made_up`` of them painted."""
        if rng.random() < made_up and self._paint is not None:
            return self._paint(rng)
        name = self._modalities[int(rng.choice(len(self._modalities), p=self._shares))]
        planes = self._planes[name]
        return planes[int(rng.choice(len(planes), p=self._counts[name]))]

    def draw(self, rng: np.random.Generator) -> Sample:
        """One sample."""
        while True:
            kind = self._kinds[int(rng.choice(len(self._kinds), p=self._kind_shares))]
            sample = getattr(self, f"_{kind}")(rng)
            if sample is not None:
                return turned(sample, rng)

    # one method for each kind of prompt

    def _click(self, rng: np.random.Generator) -> Sample | None:
        plane = self.draw_plane(rng, self.recipe["made_up"])
        row = int(rng.integers(len(plane.ids)))
        box = plane.boxes[row]
        extent = float(max(box[2] - box[0], box[3] - box[1]))
        if rng.random() < 0.55:
            share = float(np.exp(rng.normal(np.log(0.42), 0.3)))
        else:
            share = float(np.exp(rng.uniform(np.log(0.03), np.log(2.0))))
        at_click = rng.random() < (0.65 if share < 0.75 else 1.0)
        if not at_click:
            view = self._view(plane, row, share, rng)
            click = inner_click(view.cover > 0.5, rng)
            if click is None:
                return None
            prompts = self._empty()
            prompts[CHANNELS["positive"]] = draw_points([click], self._frame())
            return self._finish(view, prompts, "click", plane, rng)
        x0, y0, x1, y1 = box
        click = inner_click(plane.labels[y0:y1, x0:x1] == plane.ids[row], rng)
        if click is None:
            return None
        point = (x0 + click[0], y0 + click[1])
        side = max(extent / share, 8.0)
        crop = self._around_click(point[0] + 0.5, point[1] + 0.5, side, rng)
        view = look_at(plane, int(plane.ids[row]), crop)
        prompts = self._empty()
        prompts[CHANNELS["positive"]] = draw_points([point], crop)
        return self._finish(view, prompts, "click", plane, rng)

    def _box(self, rng: np.random.Generator) -> Sample | None:
        plane = self.draw_plane(rng, self.recipe["made_up"])
        row = int(rng.integers(len(plane.ids)))
        share = float(np.clip(np.exp(rng.normal(np.log(0.47), 0.15)), 0.3, 0.75))
        prompts = self._empty()
        if rng.random() < 0.6:
            box = loosened(plane.boxes[row], rng)
            crop = crop_around(box, share, self.size)
            crop = self._shifted(crop, rng, 0.03)
            view = look_at(plane, int(plane.ids[row]), crop)
            prompts[CHANNELS["box"]] = draw_box(box, crop)
        else:
            view = self._view(plane, row, share, rng, turn=1.0)
            rows, columns = np.nonzero(view.cover > 0.5)
            if len(rows) < 4:
                return None
            exact = (columns.min(), rows.min(), columns.max() + 1.0, rows.max() + 1.0)
            box = loosened(exact, rng)
            prompts[CHANNELS["box"]] = draw_box(box, self._frame())
        if rng.random() < 0.08:
            click = inner_click(view.cover > 0.5, rng)
            if click is not None:
                prompts[CHANNELS["positive"]] = draw_points([click], self._frame())
        return self._finish(view, prompts, "box", plane, rng)

    def _mask(self, rng: np.random.Generator) -> Sample | None:
        """A rough mask, or strokes."""
        plane = self.draw_plane(rng, self.recipe["made_up"])
        row = int(rng.integers(len(plane.ids)))
        share = float(np.clip(np.exp(rng.normal(np.log(0.47), 0.2)), 0.25, 0.8))
        view = self._view(plane, row, share, rng)
        prompts, frame = self._empty(), self._frame()
        if rng.random() < 0.55:
            if rng.random() < 0.5:
                prompts[CHANNELS["mask"]] = rough(view.cover, rng)
            else:
                number = int(plane.ids[row])
                prompts[CHANNELS["mask"]] = answer_like(view.cover, view.ids, number, rng)
            return self._finish(view, prompts, "mask", plane, rng)
        path = stroke(view.cover > 0.5, rng)
        if path is None:
            return None
        prompts[CHANNELS["positive"]] = draw_stroke(path, frame)
        if rng.random() < 0.4:
            others = view.ids * (view.cover < 0.2)
            seen = np.unique(others[others > 0])
            other = others == int(rng.choice(seen)) if len(seen) else view.cover < 0.1
            second = stroke(other, rng)
            if second is not None:
                # people do not cross what they want
                drawn = draw_stroke(second, frame) * (view.cover < 0.1)
                prompts[CHANNELS["negative"]] = drawn
        return self._finish(view, prompts, "stroke", plane, rng)

    def _fix(self, rng: np.random.Generator) -> Sample | None:
        """A wrong answer with the clicks that correct it, or with the first click alone."""
        plane = self.draw_plane(rng, self.recipe["made_up"])
        row = int(rng.integers(len(plane.ids)))
        share = float(np.clip(np.exp(rng.normal(np.log(0.5), 0.22)), 0.2, 0.9))
        view = self._view(plane, row, share, rng)
        number, frame = int(plane.ids[row]), self._frame()
        truth = view.cover > 0.5
        first = inner_click(truth, rng)
        if first is None:
            return None
        previous = wrong_answer(view.cover, view.ids, number, rng)
        clicks: list[tuple[float, float]] = [first]
        refused: list[tuple[float, float]] = []
        if rng.random() < 0.75:
            fix = correction(previous > 0.5, truth, rng)
            if fix is not None:
                (clicks if fix[2] else refused).append(fix[:2])
            # clicks of earlier rounds
            for _ in range(int(rng.integers(0, 3))):
                inside = rng.random() < 0.5
                more = inner_click(truth if inside else view.cover < 0.05, rng)
                if more is not None:
                    (clicks if inside else refused).append(more)
        prompts = self._empty()
        prompts[CHANNELS["positive"]] = draw_points(clicks, frame)
        if refused:
            prompts[CHANNELS["negative"]] = draw_points(refused, frame)
        prompts[CHANNELS["previous"]] = previous
        return self._finish(view, prompts, "fix", plane, rng)

    def _nothing(self, rng: np.random.Generator) -> Sample | None:
        """A click, or a small box, where no object is."""
        for _ in range(8):
            sample = self._once_nothing(rng)
            if sample is not None:
                return sample
        return None

    def _once_nothing(self, rng: np.random.Generator) -> Sample | None:
        plane = self.draw_plane(rng, self.recipe["made_up"])
        if plane.modality in UNLABELLED:
            return None
        row = int(rng.integers(len(plane.ids)))
        box = plane.boxes[row]
        extent = float(max(box[2] - box[0], box[3] - box[1]))
        side = max(extent / float(np.exp(rng.uniform(np.log(0.06), np.log(1.5)))), 8.0)
        height, width = plane.labels.shape
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        if rng.random() < 0.6:
            # near an object, where a click is meant for it
            reach = extent * rng.uniform(0.5, 1.5)
            angle = rng.uniform(0, 2 * np.pi)
            y = (box[1] + box[3]) / 2 + np.sin(angle) * reach
            x = (box[0] + box[2]) / 2 + np.cos(angle) * reach
        crop = self._around_click(x, y, side, rng)
        view = look_at(plane, 0, crop)
        row = int(np.clip((y - crop.y0) / crop.step, 3, self.size - 4))
        column = int(np.clip((x - crop.x0) / crop.step, 3, self.size - 4))
        around = view.ids[row - 3 : row + 4, column - 3 : column + 4]
        if around.any() or not (0 <= y < height and 0 <= x < width):
            return None
        prompts = self._empty()
        if rng.random() < 0.85:
            prompts[CHANNELS["positive"]] = draw_points([(x - 0.5, y - 0.5)], crop)
        else:
            half = side * rng.uniform(0.1, 0.25, 2)
            inside = (x - half[0], y - half[1], x + half[0], y + half[1])
            drawn = draw_box(inside, crop)
            if (view.ids[drawn > 0.5] > 0).mean() > 0.05:
                return None
            prompts[CHANNELS["box"]] = drawn
        return self._finish(view, prompts, "nothing", plane, rng)

    def _dense(self, rng: np.random.Generator) -> Sample | None:
        """No prompt at all: only the dense map is trained."""
        plane = self.draw_plane(rng, self.recipe["made_up"])
        row = int(rng.integers(len(plane.ids)))
        share = float(np.exp(rng.uniform(np.log(0.08), np.log(0.5))))
        view = self._view(plane, row, share, rng)
        sample = self._finish(view, self._empty(), "dense", plane, rng)
        sample.dense = dense_target(view.ids)
        sample.weight = 0.0
        return sample

    def _follow(self, rng: np.random.Generator) -> Sample | None:
        return self._follower.draw(rng)

    # what they share

    def _frame(self) -> Crop:
        """The crop's own coordinates."""
        return Crop(0.0, 0.0, float(self.size), self.size)

    def _empty(self) -> Floats:
        return np.zeros((len(CHANNELS), self.size, self.size), np.float32)

    def _shifted(self, crop: Crop, rng: np.random.Generator, amount: float) -> Crop:
        down, right = rng.normal(0.0, amount * crop.side, 2)
        return Crop(crop.y0 + down, crop.x0 + right, crop.side, crop.size)

    def _around_click(
        self, x: float, y: float, side: float, rng: np.random.Generator
    ) -> Crop:
        """A crop around a click, x and y as edges of pixels; half of them exactly.

        On an object and on nothing alike: the place in the crop must not tell.
        """
        away = np.zeros(2)
        if rng.random() < 0.5:
            away = rng.normal(0.0, 0.03 * side, 2)
        return Crop(y - side / 2 + away[0], x - side / 2 + away[1], side, self.size)

    def _view(
        self,
        plane: Plane,
        row: int,
        share: float,
        rng: np.random.Generator,
        *,
        turn: float = 0.4,
    ) -> View:
        """An object somewhere near the middle, in a part ``turn`` of cases turned."""
        number = int(plane.ids[row])
        box = tuple(float(value) for value in plane.boxes[row])
        crop = self._shifted(crop_around(box, share, self.size), rng, 0.06)
        if rng.random() >= turn:
            return look_at(plane, number, crop)
        grown = (WIDE - 1) / 2 * crop.side
        large = Crop(
            crop.y0 - grown, crop.x0 - grown, WIDE * crop.side, round(WIDE * self.size)
        )
        return warped(look_at(plane, number, large), random_turn(rng, self.size), self.size)

    def _finish(
        self,
        view: View,
        prompts: Floats,
        kind: str,
        plane: Plane,
        rng: np.random.Generator,
    ) -> Sample:
        look = random_look(rng, plane.image.ndim == 3)
        dense = None
        if rng.random() < self.recipe["dense_share"]:
            dense = dense_target(view.ids)
        weight = 1.0
        if kind == "nothing":
            weight = 0.3
        else:
            # little can be said of a mask of a few pixels, or of one that fills the crop
            pixels = float(view.cover.sum())
            weight = min(1.0, 0.15 + pixels / 150) * (
                0.3 if pixels < 0.4 * view.whole else 1
            )
        return Sample(
            look.apply(view.image, rng),
            prompts,
            view.cover,
            view.whole,
            kind,
            dense=dense,
            weight=weight,
        )


class BatchStream(torch.utils.data.IterableDataset[dict[str, Any]]):
    """Batches without end; every worker draws its own."""

    def __init__(self, sampler: Sampler, batch: int, seed: int) -> None:
        self._sampler, self._batch, self._seed = sampler, batch, seed

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Draw batches."""
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng((self._seed, 0 if info is None else info.id))
        while True:
            yield collate([self._sampler.draw(rng) for _ in range(self._batch)])
