"""One 2D plane of an image of any kind, read crop by crop as the model sees it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.types import PlaneKey

from .contrast import check_limits, percentile_limits, to_uint8
from .fingerprint import fingerprint
from .sampling import check_dtype

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.types import MixedChannel

    from .sampling import ArrayData

__all__ = ["PlaneSource", "axes_of", "colours_or_planes", "image_limits", "planes_last"]

_LETTERS = "TCZYXS"
_ROWS = 128
"""Read at a time in the search for one pixel with a value."""


def axes_of(shape: Sequence[int], dtype: Any, axes: str | None = None) -> str:
    """Letters of the axes of an image, as OME and tifffile name them.

    Parameters
    ----------
    shape
        Length of each axis.
    dtype
        Type of the pixels.
    axes
        What the user or the file says; checked against the shape. None: two axes are
        YX; three are YXS when the last holds 3 or 4 samples (of uint8, or fewer than
        there are rows and columns), otherwise ZYX.

    Raises
    ------
    ImageError
        When letters and shape do not fit, or nothing says what four axes are.
    """
    shape = tuple(int(length) for length in shape)
    if axes is None:
        if len(shape) == 2:
            return "YX"
        if len(shape) == 3:
            # Colours have any type; but a stack of tiny planes is no colour picture.
            picture = np.dtype(dtype) == np.uint8 or min(shape[:2]) > shape[2]
            return "YXS" if shape[2] in (3, 4) and picture else "ZYX"
        example = "ZYXS" if shape and shape[-1] in (3, 4) else "TZYX"
        raise ImageError(
            f"An image of shape {shape} needs its axes named (such as {example}): "
            f"nothing says what they are."
        )
    letters = axes.upper()
    if len(letters) != len(shape):
        raise ImageError(
            f"The axes {axes} name {len(letters)} axes, but the image has "
            f"{len(shape)}: its shape is {shape}."
        )
    unknown = sorted(set(letters) - set(_LETTERS))
    if unknown or len(set(letters)) != len(letters):
        raise ImageError(
            f"The axes {axes} must be different letters out of {', '.join(_LETTERS)}."
        )
    if not ("Y" in letters and "X" in letters and letters.index("Y") < letters.index("X")):
        raise ImageError(f"The axes {axes} must hold Y and, after it, X.")
    if "S" in letters and (not letters.endswith("S") or shape[-1] not in (3, 4)):
        raise ImageError(
            f"Axis S (red, green, blue) must be the last one and hold 3 or 4 samples: "
            f"got the axes {axes} for the shape {shape}."
        )
    return letters


def colours_or_planes(shape: Sequence[int], axes: str) -> str:
    """What was guessed of three axes the last of which may be colours; empty if none is.

    Parameters
    ----------
    shape
        Length of each axis.
    axes
        Letters that :func:`axes_of` gave them, where nobody had named any.
    """
    if len(shape) != 3 or shape[2] not in (3, 4):
        return ""
    first, second, last = shape
    if axes == "YXS":
        return (
            f"Nothing says what its axes are. The last one has a length of {last}: it is "
            f"taken for the colours of one picture of {second} x {first} pixels. If it is "
            f"a stack of {first} planes of {last} x {second} pixels, name the axes ZYX."
        )
    return (
        f"Nothing says what its axes are. It is taken for a stack of {first} planes of "
        f"{last} x {second} pixels. If the last axis holds colours (red, green, blue), "
        f"name the axes YXS."
    )


def planes_last(data: ArrayData, axes: str | None = None) -> tuple[ArrayData, str]:
    """Return an image with the axes Y and X, and S where there is one, behind the others.

    Parameters
    ----------
    data
        NumPy, dask, zarr or h5py array; one that is not in memory stays where it is.
    axes
        Letters of its axes in any order, such as YXZ; None as in ``axes_of``.

    Returns
    -------
    data, axes
        A view of the image, and the letters of its axes.

    Raises
    ------
    ImageError
        When letters and shape do not fit, or nothing says what four axes are.
    """
    letters = None if axes is None else axes.upper()
    if (
        letters is None
        or sorted(letters) != sorted(set(letters))
        or not {*"YX"} <= {*letters}
    ):
        return data, axes_of(data.shape, data.dtype, axes)
    if len(letters) != len(data.shape):
        return data, axes_of(data.shape, data.dtype, axes)
    order = sorted(range(len(letters)), key=lambda i: ("YXS".find(letters[i]), i))
    moved = "".join(letters[i] for i in order)
    if moved != letters:
        move = getattr(data, "transpose", None)
        data = _Transposed(data, order) if move is None else move(order)
    return data, axes_of(data.shape, data.dtype, moved)


def image_limits(
    data: ArrayData,
    limits: tuple[float, float] | Literal["auto"] | None,
    *,
    axes: str | None = None,
    channel: int | None = None,
) -> tuple[float, float] | None:
    """Contrast limits to be used for an image when no window shows it.

    A pair stays as it is, ``"auto"`` takes the percentiles 0.1 and 99.9 of the whole
    image (see ``percentile_limits``), and None does so too unless the image is uint8,
    which needs no limits.

    Parameters
    ----------
    data
        The whole image or stack.
    limits
        What was asked for.
    axes
        Letters of the axes, see ``axes_of``.
    channel
        Look only at this channel.
    """
    if limits is None and np.dtype(data.dtype) == np.uint8:
        return None
    if limits is None or isinstance(limits, str):
        letters = axes_of(data.shape, data.dtype, axes)
        return percentile_limits(
            data,
            channel_axis=letters.index("C") if "C" in letters else None,
            channel=channel,
            plane=(letters.index("Y"), letters.index("X")),
        )
    return check_limits(limits)


class PlaneSource:
    """One plane of an image; reads lazily, never writes, never keeps pixels.

    Parameters
    ----------
    data
        NumPy, dask, zarr or h5py array (anything with ``shape``, ``dtype`` and basic
        slicing).
    axes
        The two array axes that span the plane, rows first, in array order.
    index
        Position along each axis that is neither in the plane, nor ``channel_axis``,
        nor the samples of RGB, in array order.
    channel, channel_axis
        Which channel of which axis; both or neither.
    rgb
        The last axis holds red, green, blue and perhaps alpha, which is left out.
    limits
        Grey values that become 0 and 255; None takes uint8 as it is.
    image_id
        Identity of the pixels: a content fingerprint or a layer's unique id.
    channels
        What ``data`` is composed of, where it is a ``ComposedArray``; part of the key.

    Raises
    ------
    ImageError
        When these do not fit the array, or its pixels are not real numbers.
    """

    def __init__(
        self,
        data: ArrayData,
        *,
        axes: tuple[int, int],
        index: Sequence[int] = (),
        channel: int | None = None,
        channel_axis: int | None = None,
        rgb: bool = False,
        limits: tuple[float, float] | None = None,
        image_id: str,
        channels: tuple[MixedChannel, ...] = (),
    ) -> None:
        shape = tuple(int(length) for length in data.shape)
        dtype = check_dtype(data.dtype)
        if math.prod(shape) == 0:
            raise ImageError(f"The image is empty: its shape is {shape}.")
        if limits is None and dtype != np.uint8:
            raise ImageError(
                f"An image of type {dtype} needs contrast limits to be brought to 8 bits."
            )
        rows, columns = (int(axis) % len(shape) for axis in axes)
        if not rows < columns:
            raise ImageError(
                f"A plane needs two different axes in array order: got {axes} "
                f"for an image of shape {shape}."
            )
        if (channel is None) != (channel_axis is None):
            raise ImageError("A channel and the axis of channels must be given together.")
        used = {rows, columns}
        if rgb:
            used.add(len(shape) - 1)
            if columns == len(shape) - 1 or shape[-1] not in (3, 4):
                raise ImageError(
                    f"An RGB image needs 3 or 4 samples along its last axis, which is not "
                    f"part of the plane: got the shape {shape}."
                )
        key: list[Any] = [slice(None)] * len(shape)
        if channel is not None and channel_axis is not None:
            channel_axis = int(channel_axis) % len(shape)
            if channel_axis in used:
                raise ImageError(f"Axis {channel_axis} cannot hold the channels as well.")
            used.add(channel_axis)
            key[channel_axis] = _checked(channel, shape[channel_axis], "channel")
        others = [axis for axis in range(len(shape)) if axis not in used]
        if len(others) != len(index):
            raise ImageError(
                f"A plane of an image of shape {shape} needs {len(others)} indices "
                f"of its other axes: got {tuple(index)}."
            )
        for axis, position in zip(others, index, strict=True):
            key[axis] = _checked(position, shape[axis], f"index along axis {axis}")
        if rgb:
            key[-1] = slice(0, 3)
        self._data = data
        self._key = key
        self._rows, self._columns = rows, columns
        self._limits = None if limits is None else check_limits(limits)
        self.shape: tuple[int, int] = (shape[rows], shape[columns])
        """Rows and columns of the plane."""
        self.is_rgb: bool = rgb
        """Whether ``read`` gives three channels."""
        self.key: PlaneKey = PlaneKey(
            image=image_id,
            index=tuple(int(position) for position in index),
            axes=(rows, columns),
            channel=None if channel is None or channels else int(channel),
            limits=self._limits,
            channels=channels,
        )
        """Names the plane in caches."""

    @classmethod
    def from_image(
        cls,
        image: ArrayData,
        limits: tuple[float, float] | Literal["auto"] | None = None,
        *,
        axes: str | None = None,
        at: Mapping[str, int] | None = None,
        channel: int | None = None,
        image_id: str | None = None,
    ) -> PlaneSource:
        """Take a plane of an image whose axes have letters.

        Parameters
        ----------
        image
            For example ``(H, W)``, ``(H, W, 3)`` uint8, or a stack.
        limits
            See ``image_limits``; to read many planes of one stack, compute them once.
        axes
            Letters, see ``axes_of``.
        at
            Position along the axes T and Z, by letter; 0 where it is left out.
        channel
            Needed when there is an axis C of more than one channel.
        image_id
            Computed from the content when left out.

        Raises
        ------
        ImageError
            When axes, positions or channel do not fit the image.
        """
        letters = axes_of(image.shape, image.dtype, axes)
        check_dtype(image.dtype)
        at = {name.upper(): position for name, position in (at or {}).items()}
        unknown = sorted(set(at) - (set(letters) & set("TZ")))
        if unknown:
            raise ImageError(
                f"The image has no axis {unknown[0]} to choose a plane from: "
                f"its axes are {letters}."
            )
        channel_axis = letters.index("C") if "C" in letters else None
        channel = _channel_of(image.shape, channel_axis, channel)
        return cls(
            image,
            axes=(letters.index("Y"), letters.index("X")),
            index=[at.get(letter, 0) for letter in letters if letter in "TZ"],
            channel=channel,
            channel_axis=channel_axis,
            rgb="S" in letters,
            limits=image_limits(image, limits, axes=letters, channel=channel),
            image_id=fingerprint(image) if image_id is None else image_id,
        )

    def check_finite(self) -> None:
        """Raise ``ImageError`` where no pixel has a finite value; reads few of them."""
        if not np.issubdtype(self._data.dtype, np.floating):
            return
        height, width = self.shape
        for top in range(0, height, _ROWS):
            key = list(self._key)
            key[self._rows] = slice(top, min(top + _ROWS, height))
            key[self._columns] = slice(0, width)
            if np.isfinite(np.asarray(self._data[tuple(key)])).any():
                return
        raise ImageError(
            "Not one pixel of this plane has a finite value (all are NaN or infinite): "
            "there is nothing to segment."
        )

    def read(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
        """Rows y0 to y1 and columns x0 to x1 (exclusive), as the model sees them.

        Returns
        -------
        ndarray
            ``(y1 - y0, x1 - x0)`` uint8, with a last axis of 3 for RGB; a copy.

        Raises
        ------
        ImageError
            When the range is empty or leaves the plane.
        """
        return to_uint8(self.read_raw(y0, y1, x0, x1), self._limits)

    def read_raw(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        """The grey values of :meth:`read` as they are stored: limits change nothing.

        Returns
        -------
        ndarray
            ``(y1 - y0, x1 - x0)`` of the image's type, with a last axis of 3 for RGB; may
            be a view of the image, so it must not be written to.

        Raises
        ------
        ImageError
            When the range is empty or leaves the plane.
        """
        height, width = self.shape
        if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
            raise ImageError(
                f"Rows {y0} to {y1} and columns {x0} to {x1} are not a part of a plane "
                f"of {height} x {width} pixels."
            )
        key = list(self._key)
        key[self._rows] = slice(y0, y1)
        key[self._columns] = slice(x0, x1)
        return np.asarray(self._data[tuple(key)])

    def read_grey(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.float32]:
        """:meth:`read`, colours averaged: ``(y1 - y0, x1 - x0)`` float32, 0 to 255."""
        pixels = self.read(y0, y1, x0, x1).astype(np.float32)
        grey: NDArray[np.float32] = pixels.mean(axis=2) if self.is_rgb else pixels
        return grey


class _Transposed:
    """An array that cannot be transposed, such as one of zarr, with its axes reordered."""

    def __init__(self, data: ArrayData, order: Sequence[int]) -> None:
        self._data = data
        self._order = tuple(order)
        self.shape = tuple(int(data.shape[axis]) for axis in order)
        self.dtype = data.dtype
        chunks = getattr(data, "chunks", None)
        self.chunks = None if chunks is None else tuple(chunks[axis] for axis in order)

    def __getitem__(self, key: Any, /) -> Any:
        """Part of the array, by one integer or slice for each axis."""
        stored = [key[self._order.index(axis)] for axis in range(len(self._order))]
        kept = [axis for axis, item in enumerate(stored) if isinstance(item, slice)]
        wanted = [axis for axis in self._order if axis in kept]
        part = np.asarray(self._data[tuple(stored)])
        return part.transpose([kept.index(axis) for axis in wanted])


def _channel_of(
    shape: Sequence[int], channel_axis: int | None, channel: int | None
) -> int | None:
    """Return the channel to be read, or raise a sentence that asks for it."""
    if channel_axis is None:
        if channel is not None:
            raise ImageError(f"The image has no axis of channels to take {channel} from.")
        return None
    count = shape[channel_axis]
    if channel is None and count > 1:
        raise ImageError(f"The image has {count} channels: say which one to use.")
    return _checked(channel or 0, count, "channel")


def _checked(position: int, length: int, name: str) -> int:
    if not 0 <= position < length:
        raise ImageError(f"The {name} must lie in 0 to {length - 1}: got {position}.")
    return int(position)
