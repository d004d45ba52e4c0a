"""What is remembered from one start to the next: the model last used, what was offered."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.core.zoo.user_models import models_here

from .autosave import data_folder

__all__ = ["Choices", "model_at_start", "read_choices", "remember"]

_log = logging.getLogger(__name__)
_FILE = "choices.json"


@dataclass(frozen=True, slots=True)
class Choices:
    """Kept in the folder of sessions."""

    model: str = ""
    """Name or path of the model that was loaded last; empty before the first."""
    offered: bool = False
    """Whether the user has answered the offer of the official models."""
    one_per_point: bool = False
    """Whether each click on an object is an object of its own."""


def read_choices() -> Choices:
    """What is remembered; nothing where the file is missing or damaged."""
    try:
        known = json.loads((data_folder() / _FILE).read_text(encoding="utf-8"))
        model, offered = str(known["model"]), bool(known["offered"])
        return Choices(model, offered, bool(known.get("one_per_point", False)))
    except FileNotFoundError:
        return Choices()
    except (OSError, ValueError, TypeError, KeyError) as error:
        _log.warning("%s is not read: %s", data_folder() / _FILE, error)
        return Choices()


def remember(
    *,
    model: str | None = None,
    offered: bool | None = None,
    one_per_point: bool | None = None,
) -> None:
    """Change what is remembered; a full disk is no reason to stop anybody's work."""
    before = after = read_choices()
    if model is not None:
        after = replace(after, model=model)
    if offered is not None:
        after = replace(after, offered=offered)
    if one_per_point is not None:
        after = replace(after, one_per_point=one_per_point)
    if after == before:
        return
    folder = data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / _FILE) as temporary:
            temporary.write_text(json.dumps(asdict(after)), encoding="utf-8")
    except (OSError, CellpromptError) as error:
        _log.warning("What was chosen is not remembered: %s", error)


def model_at_start(wanted: str) -> str:
    """The model to begin with.

    Parameters
    ----------
    wanted
        As the preferences say; empty: the one used last, where it is still here.
    """
    if wanted:
        return wanted
    last = read_choices().model
    return last if last and _is_here(last) else DEFAULT_MODEL


def _is_here(name: str) -> bool:
    try:
        return name in models_here() or Path(name).is_file()
    except CellpromptError:
        return False
