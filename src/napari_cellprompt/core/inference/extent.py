"""Where an object is, as far as its prompts say, and whether they can be used at all."""

from __future__ import annotations

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.masks.rle import decode_part
from napari_cellprompt.core.types import Prompts, Rectangle, points_outside

__all__ = ["check_prompts", "extent_of"]


def check_prompts(prompts: Prompts, shape: tuple[int, int]) -> None:
    """Refuse prompts from which nothing on this plane can be predicted."""
    if prompts.is_empty:
        raise PromptError("There is nothing to predict from: click a cell or draw a box.")
    height, width = shape
    for x, y in prompts.points:
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise PromptError(
                f"The point ({x:g}, {y:g}) lies outside the image of "
                f"{width} x {height} pixels."
            )
    if prompts.box is not None:
        x0, y0, x1, y1 = prompts.box
        if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            raise PromptError(
                f"The box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) lies outside the image of "
                f"{width} x {height} pixels."
            )
    if prompts.mask is not None and tuple(prompts.mask.size) != tuple(shape):
        raise PromptError(
            f"The mask prompt has {prompts.mask.size} pixels, the plane has {shape}."
        )
    for path, _ in prompts.strokes:
        if points_outside(path, shape).all():
            x, y = path[0]
            raise PromptError(
                f"The line from ({x:g}, {y:g}) lies outside the image of "
                f"{width} x {height} pixels."
            )
    if not prompts.tells_place:
        raise PromptError("At least one click must be on the object, not on background.")


def extent_of(prompts: Prompts) -> Rectangle:
    """The rectangle that the object covers as far as the prompts tell."""
    xs = [x for (x, _), label in zip(prompts.points, prompts.labels, strict=True) if label]
    ys = [y for (_, y), label in zip(prompts.points, prompts.labels, strict=True) if label]
    for path, label in prompts.strokes:
        if label:
            xs += [x for x, _ in path]
            ys += [y for _, y in path]
    if prompts.box is not None:
        xs += [prompts.box[0], prompts.box[2]]
        ys += [prompts.box[1], prompts.box[3]]
    if prompts.mask is not None:
        part = decode_part(prompts.mask)
        found = None if part is None else part.box
        if found is None and not xs:
            raise PromptError("The mask prompt is empty.")
        if found is not None:
            xs += [found[0], found[2]]
            ys += [found[1], found[3]]
    return min(xs), min(ys), max(xs), max(ys)
