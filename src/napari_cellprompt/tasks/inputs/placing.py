"""Which plane of an image each prompt of a file means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import PromptError

from .reading import axis_lengths, valid_channel

if TYPE_CHECKING:
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.io.prompts_json import ObjectPrompts

__all__ = ["PlacedObject", "outer_axes", "place_objects"]


@dataclass(frozen=True, slots=True)
class PlacedObject:
    """One object on one plane of the result."""

    position: tuple[int, ...]
    """Index along each axis of the result but Y and X."""
    channel: int | None
    item: ObjectPrompts


def outer_axes(axes: str) -> str:
    """Letters of the axes of the result but Y and X, in array order."""
    return "".join(letter for letter in axes if letter in "TZ")


def place_objects(
    objects: list[ObjectPrompts],
    image: ImageFile,
    *,
    along: str | None,
    channel: int | None,
    source: str,
    name: str,
) -> list[PlacedObject]:
    """Place each object on its plane, and refuse what does not fit the image.

    Parameters
    ----------
    objects
        What the file of prompts says.
    image
        Where the objects are.
    along
        Letter of the axis that ``plane`` counts; None for a single plane.
    channel
        For objects that do not name theirs.
    source, name
        What prompts and image are called in messages.

    Raises
    ------
    PromptError, ImageError
        With the file and the place in it.
    """
    lengths = axis_lengths(image)
    placed = []
    for i, item in enumerate(objects):
        place = f"{source}: objects[{i}]"
        at = _position(item, along, lengths, image.axes, place)
        item.prompts.check_usable((lengths["Y"], lengths["X"]), place)
        wanted = at.get("C", channel)
        placed.append(
            PlacedObject(
                position=tuple(at.get(letter, 0) for letter in outer_axes(image.axes)),
                channel=valid_channel(name, image, wanted),
                item=item,
            )
        )
    return placed


def _position(
    item: ObjectPrompts,
    along: str | None,
    lengths: dict[str, int],
    axes: str,
    place: str,
) -> dict[str, int]:
    """Index along axes by letter: where ``plane`` and ``at`` of an object lead."""
    at = dict(item.at)
    if along is None and item.plane not in (None, 0):
        raise PromptError(f"{place}.plane is {item.plane}, but the image is one plane.")
    if along is not None:
        if item.plane is None:
            raise PromptError(
                f"{place} needs a plane: the image has {lengths[along]} along {along}."
            )
        if along in at:
            raise PromptError(f"{place}.at.{along} repeats what 'plane' says.")
        at[along] = item.plane
    for letter, position in at.items():
        if letter not in lengths:
            raise PromptError(
                f"{place}.at.{letter}: the image has no axis {letter}, its axes are {axes}."
            )
        if position >= lengths[letter]:
            key = "plane" if letter == along else f"at.{letter}"
            raise PromptError(
                f"{place}.{key} is {position}, but the image has only "
                f"{lengths[letter]} along {letter} (counted from 0)."
            )
    return at
