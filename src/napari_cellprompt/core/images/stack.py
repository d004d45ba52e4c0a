"""Planes along one axis of a stack, each read when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from napari_cellprompt.core.errors import ImageError

from .fingerprint import fingerprint
from .planes import PlaneSource, axes_of, image_limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .sampling import ArrayData

__all__ = ["ImageStack", "Stack", "axis_along"]


class Stack(Protocol):
    """Planes that an object is followed through."""

    def __len__(self) -> int:
        """Number of planes."""

    @property
    def is_time(self) -> bool:
        """Whether the planes are frames of a movie."""

    def plane(self, index: int) -> PlaneSource:
        """The plane at this place along the axis; reads no pixels yet."""


class ImageStack:
    """The planes of an array along its Z or T axis.

    Contrast limits are the same for all planes, so that an object does not change its
    look from one to the next because the contrast did.

    Parameters
    ----------
    image
        NumPy, dask, zarr or h5py array; nothing but a sample of it is read here.
    along
        ``"z"`` or ``"t"``; None takes the only one there is, Z where there are both.
    axes
        Letters of the axes, see ``axes_of``.
    at
        Position along the other one of Z and T, by letter; 0 where it is left out.
    channel
        Needed when there is an axis C of more than one channel.
    limits
        Grey values that become 0 and 255, see ``image_limits``.
    image_id
        Computed from the content when left out.

    Raises
    ------
    ImageError
        When there is no such axis, or the rest does not fit the image.
    """

    def __init__(
        self,
        image: ArrayData,
        *,
        along: str | None = None,
        axes: str | None = None,
        at: Mapping[str, int] | None = None,
        channel: int | None = None,
        limits: tuple[float, float] | Literal["auto"] | None = None,
        image_id: str | None = None,
    ) -> None:
        letters = axes_of(image.shape, image.dtype, axes)
        self.along = axis_along(letters, along)
        """``"Z"`` or ``"T"``."""
        if at and self.along in {letter.upper() for letter in at}:
            raise ImageError(f"The position along {self.along} is what is propagated.")
        self.axes = letters
        """Letters of the image's axes."""
        self._image = image
        self._at = dict(at or {})
        self._channel = channel
        self._length = int(image.shape[letters.index(self.along)])
        channel_axis = letters.index("C") if "C" in letters else None
        if channel is None and channel_axis is not None and image.shape[channel_axis] == 1:
            self._channel = 0
        self._id = fingerprint(image) if image_id is None else image_id
        self._limits = image_limits(image, limits, axes=letters, channel=self._channel)
        self.shape = self.plane(0).shape
        """Rows and columns of each plane."""

    @property
    def is_time(self) -> bool:
        """Whether the planes are frames of a movie."""
        return self.along == "T"

    def __len__(self) -> int:
        return self._length

    def plane(self, index: int) -> PlaneSource:
        """The plane at this place along the axis; reads no pixels yet.

        Raises
        ------
        ImageError
            When there is no such plane.
        """
        if not 0 <= index < self._length:
            raise ImageError(
                f"The stack has the planes 0 to {self._length - 1}: got {index}."
            )
        return PlaneSource.from_image(
            self._image,
            self._limits,
            axes=self.axes,
            at={**self._at, self.along: index},
            channel=self._channel,
            image_id=self._id,
        )


def axis_along(
    axes: str,
    wanted: str | None,
    *,
    of: str = "The image",
    purpose: str = "propagate along",
    hint: str = "",
) -> str:
    """The axis that planes are taken along: ``"Z"`` or ``"T"``.

    Parameters
    ----------
    axes
        Letters of the axes of an image or of labels.
    wanted
        ``"z"`` or ``"t"``; None takes the only one there is, Z where there are both.
    of, purpose
        Whose axes they are, and what the axis is for, in the sentence of the error.
    hint
        What else that sentence says at its end: how the axes are named.

    Raises
    ------
    ImageError
        When there is no such axis.
    """
    letters = [letter for letter in "ZT" if letter in axes]
    chosen = None if wanted is None else wanted.upper()
    if not letters or (chosen is not None and chosen not in letters):
        raise ImageError(
            f"{of} has no axis {chosen or 'Z or T'} to {purpose}: its axes are "
            f"{axes}{hint}."
        )
    return chosen or letters[0]
