"""Choices that outlive the window: a small file of the user's, written at each change."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import platformdirs

__all__ = ["Remembered"]


def _file() -> Path:
    folder = os.environ.get("CELLPROMPT_CONFIG")
    if folder:
        return Path(folder) / "choices.json"
    return platformdirs.user_config_path("napari-cellprompt") / "choices.json"


class Remembered:
    """Values under names, in a part of the file that belongs to one widget.

    A file that cannot be read or written is as good as none: choices are then those of
    the first start.

    Parameters
    ----------
    part : str
        Name of the part.
    """

    def __init__(self, part: str) -> None:
        self._part = part

    def get(self, name: str, default: Any = None) -> Any:
        """What was chosen last."""
        return _read().get(self._part, {}).get(name, default)

    def __setitem__(self, name: str, value: Any) -> None:
        content = _read()
        content.setdefault(self._part, {})[name] = value
        path = _file()
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        # not flushed to the disk, which takes long: a choice that is lost is chosen again
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
            temporary.replace(path)


def _read() -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: part for name, part in content.items() if isinstance(part, dict)}
