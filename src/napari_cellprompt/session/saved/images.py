"""The images of a session, and their planes as the model saw them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import CellpromptError, ImageError
from napari_cellprompt.core.images.compose import ComposedArray
from napari_cellprompt.core.images.fingerprint import content_fingerprint
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.session_types import Accept, Propagate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_cellprompt.core.types import ImageFile
    from napari_cellprompt.io.session_types import (
        ImageEntry,
        PlaneEntry,
        Session,
        StackEntry,
    )
    from napari_cellprompt.tasks.report import Report

__all__ = ["SavedStack", "open_beside", "open_image_of", "plane_of", "seen_by"]


def seen_by(step: Any) -> PlaneEntry | None:
    """The plane that a model saw for a step; None where none was asked."""
    if isinstance(step, Accept):
        return step.plane
    return step.stack.plane if isinstance(step, Propagate) else None


def plane_of(
    session: Session, image: Any, plane: PlaneEntry, beside: Mapping[str, Any] | None = None
) -> PlaneSource:
    """A plane of the image, as the model saw it; ``beside`` as for :func:`replay`."""
    if plane.channels:
        files, arrays = [one.image for one in plane.channels], beside or {}
        composed = ComposedArray(
            plane.channels,
            [image if file is None else arrays[file.fingerprint] for file in files],
            plane=plane.axes,
            channel_axis=plane.channel_axis,
            rgb=session.image.rgb,
        )
        return PlaneSource(
            composed,
            axes=plane.axes,
            index=plane.index,
            channel=None if plane.channel_axis is None else 0,
            channel_axis=plane.channel_axis,
            rgb=composed.coloured,
            image_id=session.image.fingerprint,
            channels=plane.channels,
        )
    return PlaneSource(
        image,
        axes=plane.axes,
        index=plane.index,
        channel=plane.channel,
        channel_axis=plane.channel_axis,
        rgb=session.image.rgb and plane.channel_axis != len(session.image.shape) - 1,
        limits=plane.limits,
        image_id=session.image.fingerprint,
    )


class SavedStack:
    """The planes that objects of a session were followed through.

    Parameters
    ----------
    session, image
        With the array of the whole image.
    entry
        Which planes.
    beside
        As for :func:`replay`.
    """

    def __init__(
        self,
        session: Session,
        image: Any,
        entry: StackEntry,
        beside: Mapping[str, Any] | None = None,
    ) -> None:
        self._session, self._image, self._entry = session, image, entry
        self._beside = beside
        plane = entry.plane
        used = {*plane.axes, plane.channel_axis}
        if session.image.rgb:
            used.add(len(session.image.shape) - 1)
        others = [axis for axis in range(len(session.image.shape)) if axis not in used]
        self._place = others.index(entry.axis)
        self.shape = self.plane(0).shape
        """Rows and columns of each plane."""

    @property
    def is_time(self) -> bool:
        """Whether the planes are frames of a movie."""
        return self._entry.name.lower() in ("t", "time", "frame", "frames")

    def __len__(self) -> int:
        return int(self._session.image.shape[self._entry.axis])

    def plane(self, index: int) -> PlaneSource:
        """The plane at this place along the axis."""
        steps = list(self._entry.plane.index)
        steps[self._place] = index
        entry = replace(self._entry.plane, index=tuple(steps))
        return plane_of(self._session, self._image, entry, self._beside)


def open_image_of(session: Session, path: Path | None, folder: Path) -> Any:
    """The array of the image of a session, which is checked to be that one.

    Parameters
    ----------
    session
        Whose image.
    path
        Where it is now; None: where it was, or beside the session file.
    folder
        Of the session file.

    Raises
    ------
    ImageError
        When there is no such file, or it is another image.
    """
    entry = session.image
    path = path or _place_of(entry.path, folder)
    if path is None or not path.exists():
        raise ImageError(
            f"The image of this session, '{entry.name}', is not there"
            + (f" ({entry.path})" if entry.path else ": it came without a file")
            + ". Name it with --image, or take the accepted masks with --no-model."
        )
    return _open(path, entry)


def open_beside(session: Session, folder: Path, report: Report) -> dict[str, Any]:
    """Arrays of the other images whose channels a model saw, by fingerprint.

    Parameters
    ----------
    session, folder
        As for :func:`open_image_of`.
    report
        Told of those that are not there, or are other images now.
    """
    files: dict[str, ImageFile] = {}
    for step in session.steps:
        plane = seen_by(step)
        for channel in () if plane is None else plane.channels:
            if channel.image is not None:
                files[channel.image.fingerprint] = channel.image
    arrays = {}
    for mark, file in files.items():
        path = _place_of(file.path, folder)
        try:
            if path is None or not path.exists():
                raise ImageError(
                    f"The image '{file.name}', of which the model saw a channel, is not "
                    "there" + (f" ({file.path})." if file.path else ".")
                )
            arrays[mark] = _open(path, file)
        except CellpromptError as error:
            report.say(
                f"warning: {error} What was made with it is taken as it was accepted."
            )
    return arrays


def _place_of(path: str | None, folder: Path) -> Path | None:
    """Where a file is now: where it was, or beside the session file."""
    if path is None:
        return None
    there = Path(path)
    return there if there.exists() else folder / there.name


def _open(path: Path, entry: ImageEntry | ImageFile) -> Any:
    """The array of a file, in the shape that it had, if it is that image."""
    for data in _readings(path):
        for candidate in _channels(data, entry.shape):
            if content_fingerprint(candidate) == entry.fingerprint:
                return candidate
    raise ImageError(
        f"{path.name} is not the image of this session: its pixels are others "
        f"(wanted: {' x '.join(map(str, entry.shape))} of type {entry.dtype})."
    )


def _readings(path: Path) -> Any:
    """The array of a file, as this package and as napari read it."""
    yield read_image(path).data
    if path.suffix.lower() in (".tif", ".tiff"):
        import tifffile

        yield tifffile.imread(path)


def _channels(data: Any, wanted: tuple[int, ...]) -> Iterator[Any]:
    """Whatever of an array has a shape: all of it, or a channel that was a layer."""
    shape = tuple(int(length) for length in data.shape)
    if shape == wanted:
        yield data
    elif _squeezed(shape) == _squeezed(wanted):
        yield np.asarray(data).reshape(wanted)
    for axis, count in enumerate(shape):
        if count > 1 and shape[:axis] + shape[axis + 1 :] == wanted:
            for number in range(count):
                yield np.asarray(data[(slice(None),) * axis + (number,)])


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(length for length in shape if length != 1)
