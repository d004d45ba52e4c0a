"""Several channels of an image file become the one picture that a model is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.compose import ComposedArray
from napari_cellprompt.core.images.contrast import percentile_limits
from napari_cellprompt.core.types import MixedChannel
from napari_cellprompt.io.image_files import read_image

from .reading import axis_lengths

if TYPE_CHECKING:
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.tasks.report import Report
    from napari_cellprompt.tasks.requests import ComposedRequest, ShownChannel

__all__ = ["composed", "mixed_channels", "read_shown"]

_SMOOTHEST = 100.0


def read_shown(request: ComposedRequest, report: Report) -> ImageFile:
    """Read the image of a request as the model is to see it, see :func:`composed`."""
    image = read_image(request.image, request.axes, series=request.series)
    return composed(request, image, report)


def composed(request: ComposedRequest, image: ImageFile, report: Report) -> ImageFile:
    """The image as the model is to see it: as it is, or of the channels that are asked for.

    Parameters
    ----------
    request
        Says which channels, and what becomes of each.
    image
        With an axis C or S.
    report
        Told what the model sees.

    Returns
    -------
    ImageFile
        uint8 where channels are put together, with an axis C of one, and S for colours;
        read as far as it is looked at.

    Raises
    ------
    ImageError
        The image has no such channels, or they are asked for in two ways.
    """
    if not request.compose:
        return image
    if request.channel is not None:
        raise ImageError(
            "Say either which channel the model sees, or of which channels its picture is "
            "composed."
        )
    name = request.image.name
    channels = mixed_channels(request.compose, image, name)
    letters, rgb = image.axes, "S" in image.axes
    picture = ComposedArray(
        channels,
        [image.data] * len(channels),
        plane=(letters.index("Y"), letters.index("X")),
        channel_axis=None if rgb else letters.index("C"),
        rgb=rgb,
    )
    parts = [
        f"{_title(one, rgb)} as {one.colour} ({one.limits[0]:g} to {one.limits[1]:g})"
        for one in channels
    ]
    report.say(f"the model sees {', '.join(parts)}")
    axes, scale = letters.removesuffix("S"), image.scale[: len(letters) - rgb]
    if picture.coloured:
        axes, scale = f"{axes}S", (*scale, 1.0)
    return replace(image, data=picture, axes=axes, scale=scale)


def mixed_channels(
    wanted: tuple[ShownChannel, ...], image: ImageFile, name: str
) -> tuple[MixedChannel, ...]:
    """Channels with the grey values that their percentiles are over the whole image.

    Parameters
    ----------
    wanted
        As they are asked for.
    image
        Where they are.
    name
        What it is called in messages.

    Raises
    ------
    ImageError
        Where there is no such channel, or a setting is none.
    """
    letters, lengths = image.axes, axis_lengths(image)
    letter = "S" if "S" in letters else "C"
    if letter not in letters or (letter == "S" and lengths.get("C", 1) > 1):
        raise ImageError(
            f"{name} has no channels that could be shown together: its axes are {letters}."
        )
    axis = letters.index(letter)
    found = []
    for one in wanted:
        if not 0 <= one.channel < lengths[letter]:
            raise ImageError(
                f"{name} has the channels 0 to {lengths[letter] - 1}: got {one.channel} "
                f"for {one.colour}."
            )
        if not 0 <= one.smooth < _SMOOTHEST:
            raise ImageError(
                f"Channels are smoothed by 0 to {_SMOOTHEST:g} pixels: got {one.smooth:g}."
            )
        limits = percentile_limits(
            image.data,
            one.low,
            one.high,
            channel_axis=axis,
            channel=one.channel,
            plane=(letters.index("Y"), letters.index("X")),
        )
        found.append(
            MixedChannel(
                one.colour, limits, one.channel, invert=one.invert, smooth=one.smooth
            )
        )
    return tuple(found)


def _title(channel: MixedChannel, rgb: bool) -> str:
    kind = "sample" if rgb else "channel"
    return f"{kind} {channel.number}"
