"""Session files: everything that was done with one image, and what is in work.

A session file is JSON of the classes in :mod:`.session_types`. It is written to a temporary
name and moved, so that a crash leaves the file of before; a file that cannot be read is
never written over.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import CellpromptError

from .session_types import FORMAT, VERSION, ObjectEntry, Session, Step

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = [
    "SessionFileError",
    "encode_object",
    "encode_step",
    "join_session",
    "json_schema",
    "parse_session",
    "read_session",
    "write_session",
]


class SessionFileError(CellpromptError, ValueError):
    """A session file that cannot be used; the message says why."""


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """The checker of a class; it takes some 50 ms to make one."""
    return TypeAdapter(kind)


def encode_step(step: Any) -> bytes:
    """One step as JSON; steps never change, so that each is encoded once."""
    return _adapter(Step).dump_json(step, exclude_defaults=True)


def encode_object(entry: ObjectEntry) -> bytes:
    """One row of the table of objects as JSON."""
    return _adapter(ObjectEntry).dump_json(entry, exclude_defaults=True)


def join_session(
    head: Session, objects: Sequence[bytes], steps: Sequence[bytes]
) -> list[bytes]:
    """The pieces of a session file, from what is encoded already.

    Parameters
    ----------
    head
        A session; its own objects and steps are left out.
    objects, steps
        From :func:`encode_object` and :func:`encode_step`.
    """
    known: dict[str, Any] = _adapter(Session).dump_python(
        head, mode="json", exclude={"objects", "steps"}, exclude_none=True
    )
    text = json.dumps(known, ensure_ascii=False, allow_nan=False)
    pieces = [text[:-1].encode(), b',\n"objects": [']
    for name, entries in (("objects", objects), ("steps", steps)):
        if name == "steps":
            pieces.append(b'],\n"steps": [')
        for number, entry in enumerate(entries):
            pieces += [b",\n" if number else b"\n", entry]
    pieces.append(b"]}\n")
    return pieces


def write_session(
    path: str | os.PathLike[str],
    session: Session,
    *,
    objects: Sequence[bytes] | None = None,
    steps: Sequence[bytes] | None = None,
) -> Path:
    """Write a session, completely or not at all.

    Parameters
    ----------
    path
        Where to; what is there is replaced in one step.
    session
        What to write.
    objects, steps
        What is encoded already, instead of that of ``session``.

    Raises
    ------
    SaveError
        When the file cannot be written.
    """
    if objects is None:
        objects = [encode_object(entry) for entry in session.objects]
    if steps is None:
        steps = [encode_step(step) for step in session.steps]
    pieces = join_session(session, objects, steps)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.writelines(pieces)
    return Path(path)


def read_session(path: str | os.PathLike[str]) -> Session:
    """Read a session file.

    Raises
    ------
    SessionFileError
        One sentence that names the file, where it is damaged, something else, or was
        written by a newer version.
    """
    name = Path(path).name
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SessionFileError(
            f"The session cannot be read from {path}: {error.strerror or error}."
        ) from error
    return parse_session(content, name)


def parse_session(content: bytes, name: str = "The session") -> Session:
    """A session from the bytes of its file; errors as of :func:`read_session`."""
    try:
        session: Session = _adapter(Session).validate_json(content)
    except ValidationError as error:
        raise SessionFileError(_complaint(content, name, error)) from error
    except RecursionError as error:
        raise SessionFileError(f"{name} is damaged: it is nested too deeply.") from error
    _check(session, name)
    return session


def json_schema() -> dict[str, Any]:
    """The JSON schema of session files."""
    schema = _adapter(Session).json_schema()
    schema["title"] = f"{FORMAT}, version {VERSION}"
    schema["required"] = ["format", "version", *schema["required"]]
    return schema


def _complaint(content: bytes, name: str, error: ValidationError) -> str:
    """What is wrong with a file, for people."""
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        start = content.lstrip()[:200]
        if FORMAT.encode() in start:
            return f"{name} is cut off or damaged: it ends in the middle, or was edited."
        return f"{name} is no session file of cellprompt."
    try:
        known = json.loads(content)
    except ValueError:
        known = None
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        return f"{name} is no session file of cellprompt."
    version = known.get("version")
    if isinstance(version, int) and version > VERSION:
        return (
            f"{name} was written by a newer version of napari-cellprompt (its format is "
            f"{version}, this one reads {VERSION}): update napari-cellprompt to open it."
        )
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{name} is damaged: {place}: {first['msg']}."


def _check(session: Session, name: str) -> None:
    """Refuse what points to entries that are not there."""
    for number, step in enumerate(session.steps):
        model = getattr(step, "model", None)
        if not 0 <= step.layer < len(session.layers) or not (
            model is None or 0 <= model < len(session.models)
        ):
            raise SessionFileError(
                f"{name} is damaged: steps.{number} names a layer or a model that the file "
                "does not have."
            )
    for entry in session.objects:
        if not 0 <= entry.layer < len(session.layers):
            raise SessionFileError(
                f"{name} is damaged: object {entry.id} is in a layer that the file does "
                "not have."
            )
