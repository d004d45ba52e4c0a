"""From the name of a model, or a path, to the file of its weights."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import DownloadError

from .folder import bundled_file, cache_folder
from .registry import ModelSpec, get_spec, stem_of
from .user_models import UserModel, checked_file, find_user_model, local_file
from .verify import verify_file

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Place", "find_weights", "weights_path"]


@dataclass(frozen=True, slots=True)
class Place:
    """A file of weights, and what is said of it beforehand."""

    path: Path
    published: ModelSpec | None = None
    """The model of the zoo that it must hold."""
    mine: UserModel | None = None
    """The imported model that it is."""


@contextmanager
def find_weights(name_or_path: str | Path) -> Iterator[Place]:
    """Find the file that a name or a path means; it is there within the context.

    A file that exists and anything with a folder in it is a path. What is left is the
    name of an imported model or of one of the zoo, with or without a file's suffix.

    Raises
    ------
    CheckpointError
        When the name is unknown, or the file is not what it is said to be.
    DownloadError
        When the weights of a known model are not on this computer.
    """
    path = Path(name_or_path).expanduser()
    has_folder = any(sign in str(name_or_path) for sign in ("/", "\\"))
    if has_folder or path.is_file():
        yield Place(path)
        return
    name = str(name_or_path)
    mine = find_user_model(name) or find_user_model(stem_of(name))
    if mine is not None:
        yield Place(checked_file(mine), mine=mine)
        return
    spec = get_spec(name)
    if spec.bundled:
        resource = bundled_file(spec.name)
        if not resource.is_file():
            raise DownloadError(
                f"The weights of {spec.name} are missing from this installation; "
                "install napari-cellprompt again."
            )
        with as_file(resource) as path:
            yield Place(path, published=spec)
        return
    found = local_file(spec)
    if found is None:
        raise DownloadError(_how_to_get(spec, cache_folder()))
    if spec.source is not None and found.name == spec.source.file_name:
        verify_file(found, spec.source.digest, spec.name)
    yield Place(found, published=spec)


def weights_path(name_or_path: str | Path) -> Path:
    """The file that is loaded for a name or a path.

    Raises
    ------
    CheckpointError, DownloadError
        As :func:`find_weights`.
    """
    with find_weights(name_or_path) as place:
        return place.path


def _how_to_get(spec: ModelSpec, folder: Path) -> str:
    source = spec.source
    if source is None:
        return (
            f"The weights of {spec.name} are not on this computer and have no public "
            f"address here. Import your file: cellprompt models import FILE --name "
            f"{spec.name}."
        )
    size = f" ({source.nbytes / 1e6:.0f} MB)" if source.nbytes else ""
    return (
        f"The weights of {spec.name} are not on this computer. Fetch them{size} in the "
        f"widget Models or by: cellprompt models download {spec.name}. Or put the file "
        f"{source.url} as {source.file_name} into the folder {folder}."
    )
