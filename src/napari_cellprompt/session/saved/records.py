"""Objects and settings of the session as plain JSON values, and back."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from napari_cellprompt.io.session_file import SessionFileError
from napari_cellprompt.session.objects import ObjectRecord

if TYPE_CHECKING:
    from napari_cellprompt.core.propagate.types import PropagationSettings

__all__ = ["record_from", "record_to", "settings_from", "settings_to"]


@cache
def _records() -> TypeAdapter[ObjectRecord]:
    # the names that fields of a record are declared with
    from napari_cellprompt.core.propagate.types import (  # noqa: F401
        Direction,
        PropagationSettings,
    )
    from napari_cellprompt.core.types import PlaneKey, Prompts  # noqa: F401

    return TypeAdapter(ObjectRecord)


@cache
def _settings() -> TypeAdapter[Any]:
    from napari_cellprompt.core.propagate.types import PropagationSettings

    return TypeAdapter(PropagationSettings)


def record_to(record: ObjectRecord) -> dict[str, Any]:
    """An object as plain values; what is as usual is left out."""
    plain: dict[str, Any] = _records().dump_python(
        record, mode="json", exclude_defaults=True
    )
    return plain


def record_from(plain: dict[str, Any]) -> ObjectRecord:
    """The object of plain values.

    Raises
    ------
    SessionFileError
        When it is damaged.
    """
    record: ObjectRecord = _checked(_records(), plain, f"object {plain.get('id')}")
    return record


def settings_to(settings: PropagationSettings | None) -> dict[str, Any]:
    """How objects are followed, as plain values; what is as usual is left out."""
    if settings is None:
        return {}
    plain: dict[str, Any] = _settings().dump_python(
        settings, mode="json", exclude_defaults=True
    )
    return plain


def settings_from(plain: dict[str, Any]) -> PropagationSettings | None:
    """How objects were followed; None where it was as usual.

    Raises
    ------
    SessionFileError
        When it is damaged.
    """
    if not plain:
        return None
    settings: PropagationSettings = _checked(_settings(), plain, "settings")
    return settings


def _checked(adapter: TypeAdapter[Any], plain: dict[str, Any], name: str) -> Any:
    try:
        return adapter.validate_python(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SessionFileError(
            f"The session is damaged: {name}: {place}: {first['msg']}."
        ) from error
