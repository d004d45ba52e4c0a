"""The models that a user brought along, and which models are on this computer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import CheckpointError

from .folder import bundled_file, cache_folder
from .registry import ALIASES, MODELS, SUFFIXES, ModelSpec, find_spec
from .verify import digest_of

__all__ = [
    "UserModel",
    "checked_file",
    "find_user_model",
    "forget_model",
    "local_file",
    "models_here",
    "user_models",
    "write_user_models",
]

_FILE = "user_models.json"


@dataclass(frozen=True, slots=True)
class UserModel:
    """A checkpoint that the user named."""

    name: str
    path: str
    """Where the file is; it stays where the user keeps it."""
    family: str
    """``"sam1"``, ``"sam2"`` or ``"focus"``, as its tensors say."""
    image_size: int
    """Side of the input in pixels."""
    digest: str = ""
    """Of the file when it was imported, ``xxh128:...``."""
    origin: str = ""
    """From what it came, for people to read; empty where its file does not say."""


def user_models() -> dict[str, UserModel]:
    """Every remembered model by its name.

    Raises
    ------
    CheckpointError
        When the list cannot be read; it names the file.
    """
    path = cache_folder() / _FILE
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {entry["name"]: UserModel(**entry) for entry in entries}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(
            f"The list of your models, {path}, cannot be read ({error}). Repair or delete "
            "it; the models themselves are not in it."
        ) from error


def find_user_model(name: str) -> UserModel | None:
    """The remembered model of that name, or None.

    Raises
    ------
    CheckpointError
        When its file is no longer there.
    """
    found = user_models().get(name)
    if found is not None and not Path(found.path).is_file():
        raise CheckpointError(
            f"The file of your model {name} is no longer at {found.path}. Put it back, or "
            f"import it again: cellprompt models import FILE --name {name}."
        )
    return found


def checked_file(model: UserModel) -> Path:
    """The file of a remembered model, if it is still the one that was imported.

    Raises
    ------
    CheckpointError
        When it is another one.
    """
    path = Path(model.path)
    if model.digest and digest_of(path) != model.digest:
        raise CheckpointError(
            f"{path} is not the file any more that you imported as {model.name}. If you "
            f"trust the new one: cellprompt models import {path} --name {model.name}."
        )
    return path


def forget_model(name: str) -> Path:
    """Forget a user's model, whose file stays; or delete a downloaded file.

    Returns
    -------
    Path
        The file of the user's model, or the one that was deleted.

    Raises
    ------
    CheckpointError
        When there is nothing to remove.
    """
    mine = user_models()
    if name in mine:
        forgotten = mine.pop(name)
        write_user_models(mine)
        return Path(forgotten.path)
    spec = find_spec(name)
    if spec is not None and spec.bundled:
        raise CheckpointError(f"{spec.name} is part of the package and stays.")
    found = None if spec is None else local_file(spec)
    if found is None:
        raise CheckpointError(f"No model {name} is on this computer.")
    found.unlink()
    return found


def local_file(spec: ModelSpec) -> Path | None:
    """The file of a published model in the cache folder, under any of its names."""
    folder = cache_folder()
    names = [spec.name, *(alias for alias, full in ALIASES.items() if full == spec.name)]
    candidates = [f"{n}{suffix}" for n in names for suffix in SUFFIXES]
    if spec.source is not None:
        candidates.insert(0, spec.source.file_name)
    for candidate in candidates:
        path = folder / candidate
        if path.is_file():
            return path
    return None


def models_here() -> list[str]:
    """Names of the models that load without a download; the bundled one first."""
    published = [
        spec.name
        for spec in MODELS.values()
        if (bundled_file(spec.name).is_file() if spec.bundled else local_file(spec))
    ]
    return [*published, *(name for name in user_models() if name not in published)]


def write_user_models(models: dict[str, UserModel]) -> None:
    """Write the list of the user's models, by name, whole or not at all."""
    path = cache_folder() / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        text = json.dumps([asdict(model) for model in models.values()], indent=1)
        temporary.write_text(text, encoding="utf-8")
