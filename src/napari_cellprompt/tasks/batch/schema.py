"""From YAML to a dataclass: its fields are the schema, and what is wrong has a line."""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import math
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Union, get_args, get_origin

from napari_cellprompt.core.errors import CellpromptError, ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ["Entry", "Mapped", "build", "describe", "read_yaml", "type_hints"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a YAML file and where it stands."""

    value: Any
    """A scalar, a list of entries, or a ``Mapped``."""
    line: int
    """From 1."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A mapping of a YAML file."""

    entries: Mapping[str, Entry]
    lines: Mapping[str, int]
    """Of the keys, from 1."""


def read_yaml(path: Path) -> Mapped:
    """Read a file that holds one mapping; every value knows its line.

    Raises
    ------
    ImageError
        Where the file is missing, no YAML or no mapping; the line is named.
    """
    try:
        import yaml
    except ImportError as error:
        raise ImageError(
            "Reading a job needs PyYAML: pip install napari-cellprompt[batch]."
        ) from error
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"The job {path} cannot be read: {error}.") from error
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        entry = _entry(loader, node, path.name) if node is not None else Entry(None, 1)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f", line {mark.line + 1}"
        problem = getattr(error, "problem", None) or str(error)
        raise ImageError(f"{path.name}{place} is no YAML: {problem}.") from error
    if not isinstance(entry.value, Mapped):
        raise ImageError(
            f"{path.name} must hold lines such as 'size: 30', one for each setting."
        )
    return entry.value


def _entry(loader: Any, node: Any, name: str) -> Entry:
    """A node of PyYAML's with all below it."""
    line = node.start_mark.line + 1
    if node.id == "mapping":
        entries: dict[str, Entry] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            at = key_node.start_mark.line + 1
            if key in entries:
                raise ImageError(
                    f"{name}, line {at}: {key} was already said in line {lines[key]}."
                )
            entries[key], lines[key] = _entry(loader, value_node, name), at
        return Entry(Mapped(entries, lines), line)
    if node.id == "sequence":
        return Entry([_entry(loader, item, name) for item in node.value], line)
    return Entry(loader.construct_object(node, deep=True), line)


def build(
    kind: type[Any],
    mapped: Mapped,
    name: str,
    *,
    given: Mapping[str, Any] | None = None,
    unknown: Collection[str] = (),
    folder: Path | None = None,
) -> Any:
    """Make a dataclass from what a file says; every value is checked by its field's type.

    Parameters
    ----------
    kind
        A request or settings.
    mapped
        The file, or a part of it.
    name
        What the file is called in messages.
    given
        Fields that come from elsewhere, which the file must not name.
    unknown
        Keys that are no fields and are left to the caller.
    folder
        Where paths that are not absolute start; None: they stay as they are.

    Raises
    ------
    ImageError
        With the line and what may stand there.
    """
    given = {} if given is None else dict(given)
    hints = type_hints(kind)
    names = [field.name for field in fields(kind) if field.name not in given]
    values = dict(given)
    for key, entry in mapped.entries.items():
        if key in unknown:
            continue
        place = f"{name}, line {mapped.lines[key]}"
        if key in given:
            raise ImageError(f"{place}: {key} comes from the command, not from the job.")
        if key not in names:
            raise ImageError(f"{place}: there is no setting {key!r}; {_guess(key, names)}")
        values[key] = _value(hints[key], entry, f"{place}: {key}", name, folder)
    missing = [
        field.name
        for field in fields(kind)
        if field.name not in values
        and field.default is MISSING
        and field.default_factory is MISSING
    ]
    if missing:
        raise ImageError(f"{name} must say {missing[0]}, and does not.")
    try:
        return kind(**values)
    except CellpromptError as error:
        raise ImageError(f"{name}: {error}") from error
    except ValueError as error:
        line = min(mapped.lines.values(), default=1)
        raise ImageError(f"{name}, from line {line}: {error}") from error


def _guess(key: str, names: list[str]) -> str:
    close = difflib.get_close_matches(key, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {', '.join(sorted(names))}."


def _value(hint: Any, entry: Entry, place: str, name: str, folder: Path | None) -> Any:
    """A value of the type of a field, or an error that says what may stand there."""
    origin, options = get_origin(hint), get_args(hint)
    value = entry.value

    def refuse() -> NoReturn:
        shown = "a list" if isinstance(value, list) else repr(value)
        if isinstance(value, Mapped):
            shown = "a block of settings"
        raise ImageError(f"{place} must be {describe(hint)}: got {shown}.")

    if origin in (Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        wanted = [option for option in options if option is not type(None)]
        for option in wanted[:-1]:
            try:
                return _value(option, entry, place, name, folder)
            except ImageError:
                continue
        return _value(wanted[-1], entry, place, name, folder)
    if origin is Literal:
        return value if value in options else refuse()
    if origin is tuple:
        if not isinstance(value, list):
            refuse()
        many = len(options) == 2 and options[1] is Ellipsis
        if not many and len(value) != len(options):
            refuse()
        kinds = [options[0]] * len(value) if many else list(options)
        return tuple(
            _value(
                kind,
                item,
                f"{name}, line {item.line}: {place.split(': ')[-1]}",
                name,
                folder,
            )
            for kind, item in zip(kinds, value, strict=True)
        )
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapped):
            refuse()
        return build(hint, value, name, folder=folder)
    check = _SCALARS.get(hint)
    if check is None:
        raise ImageError(f"{place} cannot be set in a job.")
    checked = check(value)
    if checked is None:
        refuse()
    if hint is Path and folder is not None:
        return folder / checked
    return checked


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        # 1e-3 is a text in YAML 1.1, which wants a dot in it
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(value)


_SCALARS: dict[Any, Callable[[Any], Any]] = {
    bool: lambda value: value if isinstance(value, bool) else None,
    int: lambda value: (
        value if isinstance(value, int) and not isinstance(value, bool) else None
    ),
    float: _number,
    str: lambda value: value if isinstance(value, str) else None,
    Path: lambda value: (
        Path(value).expanduser() if value and isinstance(value, str) else None
    ),
}


def describe(hint: Any) -> str:
    """A type of a field in words: ``a number``, ``one of auto, grid``, ..."""
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(
            "nothing" if option is type(None) else describe(option) for option in options
        )
    if origin is Literal:
        return f"one of {', '.join(map(str, options))}"
    if origin is tuple:
        if len(options) == 2 and options[1] is Ellipsis:
            return f"a list, of which each is {describe(options[0])}"
        return f"a list of {len(options)}: {', '.join(map(describe, options))}"
    if is_dataclass(hint):
        return "a block of settings"
    words = {bool: "true or false", int: "a whole number", float: "a number"}
    words |= {str: "a text", Path: "the name of a file"}
    return words.get(hint, str(getattr(hint, "__name__", hint)))


def type_hints(kind: type[Any]) -> dict[str, Any]:
    """Types of a dataclass's fields, also of names that only type checkers import."""
    hints: dict[str, Any] = {}
    for owner in reversed(kind.__mro__):
        written = inspect.get_annotations(owner)
        if not written:
            continue
        module = inspect.getmodule(owner)
        names = {**vars(module)} if module else {}
        for field, text in written.items():
            if isinstance(text, str) and any(word not in names for word in _words(text)):
                names |= _checked_imports(module)
            # the texts are the package's own annotations
            hints[field] = eval(text, names) if isinstance(text, str) else text
    return hints


def _words(text: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


@cache
def _checked_imports(module: Any) -> dict[str, Any]:
    """What a module imports for type checkers only."""
    found: dict[str, Any] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            continue
        for item in node.body:
            if isinstance(item, ast.ImportFrom) and item.module and not item.level:
                imported = importlib.import_module(item.module)
                for name in item.names:
                    found[name.asname or name.name] = getattr(imported, name.name)
    return found
