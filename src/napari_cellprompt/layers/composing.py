"""Which channels of which layers make the picture that a model is shown."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.types import Colour, ImageFile

from .coordinates import array_shape
from .grids import other_grid
from .images import full_resolution
from .saved import image_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = [
    "ChannelChoice",
    "Use",
    "coinciding",
    "image_file",
    "kind_of",
    "layer_of",
    "likely_channel_axis",
    "may_be_channels",
    "offered",
    "read_rows",
    "title_of",
    "unfit",
    "written_rows",
]

Use = Literal["off", "red", "green", "blue", "grey"]
"""What is made of a channel."""

_MOST_CHANNELS = 5
"""Planes of an image whose first axis may be one of channels."""
_SAMPLES = ("red", "green", "blue")
_LIKELY_C = ("c", "ch", "channel", "channels")


@dataclass(frozen=True, slots=True)
class ChannelChoice:
    """What the user chose for one channel."""

    number: int | None = None
    """Index along the axis of channels, or of a sample of colours; None for a layer."""
    layer: str = ""
    """Unique id of another layer than the image."""
    use: Use = "off"
    low: float = 0.1
    high: float = 99.9
    """Percentiles of the whole stack that become black and white."""
    invert: bool = False
    smooth: float = 0.0
    """Standard deviation of a Gaussian, in pixels."""

    @property
    def colour(self) -> Colour:
        """Of a channel that is in use."""
        if self.use == "off":
            raise ValueError("the channel is not in use")
        return self.use


def offered(
    viewer: ViewerModel,
    image: Image,
    channel_axis: int | None,
    percentiles: tuple[float, float] = (0.1, 99.9),
) -> list[ChannelChoice]:
    """All channels that a picture of an image can be made of, none in use yet.

    Those along its axis of channels; else its red, green and blue; else the image and
    all others whose pixels coincide with its.
    """
    low, high = percentiles
    count = len(_SAMPLES) if image.rgb else 0
    if channel_axis is not None and channel_axis < image.ndim:
        count = array_shape(image)[channel_axis]
    if count:
        return [ChannelChoice(number, low=low, high=high) for number in range(count)]
    names = ["", *(str(one.unique_id) for one in coinciding(viewer, image))]
    return [ChannelChoice(layer=name, low=low, high=high) for name in names]


def coinciding(viewer: ViewerModel, image: Image) -> list[Image]:
    """The other grey images of a viewer whose pixels are those of an image."""
    return [one for one in _others(viewer, image) if not other_grid(image, one)]


def unfit(viewer: ViewerModel, image: Image, channel_axis: int | None) -> list[str]:
    """Sentences on the images that are open and cannot be channels of a picture."""
    if channel_axis is not None or image.rgb:
        return []
    sentences = (other_grid(image, other) for other in _others(viewer, image))
    return [text for text in sentences if text]


def _others(viewer: ViewerModel, image: Image) -> list[Image]:
    """Grey images of a viewer beside one of them."""
    from napari.layers import Image

    from .previews.mask import is_preview

    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image)
        and layer != image
        and not layer.rgb
        and not is_preview(layer)
    ]


def layer_of(viewer: ViewerModel, image: Image, choice: ChannelChoice) -> Image:
    """The layer of a channel.

    Raises
    ------
    ImageError
        It is not open any more, or its pixels are not those of the image any more.
    """
    if not choice.layer:
        return image
    for other in _others(viewer, image):
        if str(other.unique_id) == choice.layer:
            problem = other_grid(image, other)
            if problem:
                raise ImageError(problem)
            return other
    raise ImageError(
        "A channel of the picture was removed: choose others under Channels, or switch "
        "them off there."
    )


def title_of(viewer: ViewerModel, image: Image, choice: ChannelChoice) -> str:
    """What to call a channel."""
    if choice.layer:
        names = [one.name for one in viewer.layers if str(one.unique_id) == choice.layer]
        return names[0] if names else "removed"
    if choice.number is None:
        return str(image.name)
    return _SAMPLES[choice.number] if image.rgb else f"channel {choice.number}"


def kind_of(viewer: ViewerModel, image: Image, rows: Iterable[ChannelChoice]) -> str:
    """What images have in common for which channels are chosen alike."""
    rows = list(rows)
    if image.rgb:
        return "colours"
    if any(row.number is not None for row in rows):
        return f"{len(rows)} channels"
    names = sorted(title_of(viewer, image, row) for row in rows)
    return " + ".join(names)


def written_rows(
    viewer: ViewerModel, image: Image, rows: Iterable[ChannelChoice]
) -> list[dict[str, Any]]:
    """Choices as they are kept: layers by name, since their ids end with the process."""
    kept = []
    for row in rows:
        fields = asdict(row)
        named = row.number is None
        fields["layer"] = title_of(viewer, image, row) if named else ""
        kept.append(fields)
    return kept


def read_rows(
    viewer: ViewerModel,
    image: Image,
    rows: Iterable[ChannelChoice],
    kept: Iterable[Mapping[str, Any]],
) -> list[ChannelChoice]:
    """Channels that are offered, as they were chosen another time.

    Parameters
    ----------
    viewer, image
        Where they are.
    rows
        From :func:`offered`.
    kept
        From :func:`written_rows`; what is not as it should be is left out.
    """
    known: dict[tuple[Any, str], Mapping[str, Any]] = {}
    for fields in kept:
        known[fields.get("number"), str(fields.get("layer", ""))] = fields
    found = []
    for row in rows:
        name = title_of(viewer, image, row) if row.number is None else ""
        fields = known.get((row.number, name), {})
        found.append(_chosen(row, fields))
    return found


def _chosen(row: ChannelChoice, fields: Mapping[str, Any]) -> ChannelChoice:
    try:
        use = next(name for name in get_args(Use) if name == fields.get("use", "off"))
        low, high = float(fields.get("low", row.low)), float(fields.get("high", row.high))
        smooth = float(fields.get("smooth", 0.0))
        invert = bool(fields.get("invert", False))
    except (TypeError, ValueError, StopIteration):
        return row
    if not 0 <= low < high <= 100 or not 0 <= smooth < 100:
        return row
    return replace(row, use=use, low=low, high=high, smooth=smooth, invert=invert)


def likely_channel_axis(image: Image) -> int | None:
    """The axis that the layer itself calls one of channels; None where it names none."""
    labels = [str(label).lower() for label in image.axis_labels]
    found = [axis for axis, label in enumerate(labels) if label in _LIKELY_C]
    shown = range(max(image.ndim - 2, 0))
    return found[0] if len(found) == 1 and found[0] in shown else None


def may_be_channels(image: Image) -> str:
    """A sentence where nothing says whether the planes of an image are its channels."""
    shape = array_shape(image)
    label = str(image.axis_labels[0])
    named = bool(label) and not label.lstrip("-").isdigit()
    if len(shape) != 3 or named or not 2 <= shape[0] <= _MOST_CHANNELS:
        return ""
    return (
        f"'{image.name}' is taken for a stack of {shape[0]} planes. If they are channels, "
        "choose 0 as Channel axis."
    )


def image_file(image: Image, fingerprint: str) -> ImageFile:
    """Another image, as keys and sessions name it."""
    entry = image_entry(image)
    data = full_resolution(image)
    return ImageFile(
        fingerprint,
        entry.shape,
        str(np.dtype(data.dtype)),
        name=entry.name,
        path=entry.path,
    )
