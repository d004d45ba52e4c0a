"""Takes a checkpoint of the user's into the list of known models, once it loads."""

from __future__ import annotations

from pathlib import Path

from napari_cellprompt.core.errors import CheckpointError

from .load import load_model, origin_in
from .registry import find_spec
from .user_models import UserModel, user_models, write_user_models
from .verify import digest_of

__all__ = ["import_model"]


def import_model(
    path: str | Path, *, name: str | None = None, image_size: int | None = None
) -> UserModel:
    """Check a file of weights and remember it under a name.

    Parameters
    ----------
    path
        A checkpoint of any kind that :func:`load_model` reads.
    name
        Default: the file's name without its suffix. ``"medsam2"`` brings that model's
        input size along.
    image_size
        Side of the input in pixels, where it is not that of the published model of the
        same kind (no tensor shows it).

    Raises
    ------
    CheckpointError
        When the file cannot be used, or the name is that of another model.
    """
    path = Path(path).expanduser().resolve()
    name = path.stem if name is None else name
    known = find_spec(name)
    if known is not None and known.source is None and not known.bundled:
        image_size = image_size or known.image_size
    elif known is not None:
        raise CheckpointError(
            f"{name} is the name of a published model; choose another with --name."
        )
    if not name.strip() or any(sign in name for sign in "/\\"):
        raise CheckpointError(f"A model cannot be named {name!r}.")
    loaded = load_model(path, image_size=image_size, device="cpu")
    model = UserModel(
        name,
        str(path),
        loaded.spec.family,
        loaded.spec.image_size,
        digest_of(path),
        origin_in(path),
    )
    write_user_models({**user_models(), name: model})
    return model
