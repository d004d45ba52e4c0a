"""From the fields of a request to flags of a command, and back from what was typed."""

from __future__ import annotations

import argparse
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, get_args

from napari_cellprompt.core.errors import CellpromptError, ImageError
from napari_cellprompt.tasks.requests import ShownChannel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Commands",
    "SettingDefault",
    "add_compose_flag",
    "add_image_flags",
    "default_of",
    "filled",
]

T = TypeVar("T")


class Commands(Protocol):
    """Where a command adds its parser; what argparse gives has no public name."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """Add the parser of a command."""


@dataclass(frozen=True, slots=True)
class SettingDefault:
    """The default of a field of a class that is imported when the default is shown.

    Settings of the engine need torch, which takes seconds: too long for every ``--help``.
    """

    load: Callable[[], type[Any]]
    name: str

    def __str__(self) -> str:
        return f"{default_of(self.load(), self.name)}"


def default_of(kind: type[Any], name: str) -> Any:
    """The default of a field of a dataclass."""
    (field,) = (field for field in fields(kind) if field.name == name)
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def add_image_flags(
    parser: argparse.ArgumentParser, contrast: str = "of the whole image"
) -> None:
    """Add what all commands that read images have: axes, series, channel, contrast.

    Parameters
    ----------
    parser
        Of the command.
    contrast
        What the percentiles are those of.
    """
    parser.add_argument(
        "--axes", help="letters of the image's axes, such as TZYX, if the file has none"
    )
    parser.add_argument(
        "--series",
        type=int,
        metavar="N",
        help="which image of a file that holds several, from 0 (default: planes of one "
        "size are a stack, else the largest image)",
    )
    parser.add_argument("--channel", type=int, help="channel to look at (default: 0)")
    parser.add_argument(
        "--contrast",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="grey values shown as black and white (default: the percentiles 0.1 and 99.9 "
        f"{contrast})",
    )


def add_compose_flag(parser: argparse.ArgumentParser) -> None:
    """Add the choice of channels that a model is shown together."""
    parser.add_argument(
        "--compose",
        type=_shown_channel,
        nargs="+",
        metavar="COLOUR=CHANNEL",
        help="channels that the model is shown together, instead of one: red, green, blue "
        "or grey, and a channel from 0; then, after colons, percentiles of the whole image "
        "that become black and white, 'invert', and 'smooth=PIXELS', such as red=0 "
        "green=2:1-99.5 grey=1:invert:smooth=1.5 (default percentiles: 0.1-99.9)",
    )


def _shown_channel(text: str) -> ShownChannel:
    """A channel as it is typed, such as ``red=0:1-99.5:smooth=1.5``."""
    from napari_cellprompt.core.types import Colour  # needs numpy, and --help does not

    first, *options = text.split(":")
    colour, _, number = first.partition("=")
    if colour not in get_args(Colour) or not number.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r} must begin with red, green, blue or grey and a channel, as in red=0"
        )
    values: dict[str, Any] = {}
    for option in options:
        try:
            if option == "invert":
                values["invert"] = True
            elif option.startswith("smooth="):
                values["smooth"] = float(option.removeprefix("smooth="))
            else:
                low, high = option.split("-")
                values |= {"low": float(low), "high": float(high)}
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{option!r} in {text!r} is neither two percentiles (1-99.5) nor 'invert' "
                "nor 'smooth=PIXELS'"
            ) from None
    return ShownChannel(colour=cast("Colour", colour), channel=int(number), **values)


def filled(kind: type[T], arguments: argparse.Namespace, **values: Any) -> T:
    """Make a dataclass from the arguments that are named as its fields.

    Parameters
    ----------
    kind
        A request, or settings.
    arguments
        What was typed; lists become tuples, what was left out keeps its default.
    values
        Fields that are not taken from the arguments.

    Raises
    ------
    ImageError
        Where the class refuses a value.
    """
    typed = vars(arguments)
    for field in fields(kind):  # type: ignore[arg-type]
        value = typed.get(field.name)
        if field.name in values or value is None or isinstance(value, SettingDefault):
            continue
        values[field.name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**values)
    except CellpromptError:
        raise
    except ValueError as error:
        raise ImageError(str(error)) from error
