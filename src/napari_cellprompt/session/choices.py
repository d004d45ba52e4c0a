"""What is remembered from one start to the next: the model last used, what was offered."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.core.zoo.user_models import models_here

from .saved.autosave import data_folder

__all__ = ["Choices", "model_at_start", "read_choices", "remember"]

_log = logging.getLogger(__name__)
_FILE = "choices.json"
_MOST_KINDS = 50
"""Kinds of images whose channels are remembered."""
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Choices:
    """Kept in the folder of sessions."""

    model: str = ""
    """Name or path of the model that was loaded last; empty before the first."""
    offered: bool = False
    """Whether the user has answered the offer of the official models."""
    one_per_point: bool = False
    """Whether each click on an object is an object of its own."""
    adapt_offered: bool = False
    """Whether it was said that the model can learn from accepted objects."""
    channels: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """How channels were put together last, by kind of image; see ``layers.composing``."""


def read_choices() -> Choices:
    """What is remembered; nothing where the file is missing or damaged."""
    try:
        known = json.loads((data_folder() / _FILE).read_text(encoding="utf-8"))
        model, offered = str(known["model"]), bool(known["offered"])
        channels = known.get("channels", {})
        return Choices(
            model,
            offered,
            bool(known.get("one_per_point", False)),
            bool(known.get("adapt_offered", False)),
            {
                str(kind): [row for row in rows if isinstance(row, dict)]
                for kind, rows in dict(channels).items()
            },
        )
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
    adapt_offered: bool | None = None,
    channels: tuple[str, list[dict[str, Any]]] | None = None,
) -> None:
    """Change what is said; a full disk is no reason to stop anybody's work."""
    given = {
        "model": model,
        "offered": offered,
        "one_per_point": one_per_point,
        "adapt_offered": adapt_offered,
    }
    changes: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    folder = data_folder()
    # models are loaded, and offers answered, on threads of their own
    with _lock:
        before = read_choices()
        after = replace(before, **changes)
        if channels is not None:
            kind, rows = channels
            kept = {name: known for name, known in before.channels.items() if name != kind}
            kept[kind] = rows
            last = list(kept)[-_MOST_KINDS:]
            after = replace(after, channels={name: kept[name] for name in last})
        if after == before:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with replacing(folder / _FILE) as temporary:
                temporary.write_text(json.dumps(asdict(after)), encoding="utf-8")
        except (OSError, CellpromptError) as error:
            _log.warning("What was chosen is not remembered: %s", error)


def model_at_start(wanted: str, last: str) -> str:
    """The model to begin with.

    Parameters
    ----------
    wanted
        As the preferences say; empty: the one used last, where it is still here.
    last
        The one used last, from :func:`read_choices`.
    """
    if wanted:
        return wanted
    return last if last and _is_here(last) else DEFAULT_MODEL


def _is_here(name: str) -> bool:
    try:
        return name in models_here() or Path(name).is_file()
    except CellpromptError:
        return False
