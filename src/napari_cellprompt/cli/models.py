"""``cellprompt models``: which models there are, and getting, adding, removing them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import CheckpointError

if TYPE_CHECKING:
    import argparse

    from napari_cellprompt.core.zoo.registry import ModelSpec

    from .flags import Commands

__all__ = ["add_models", "run_models"]


def add_models(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add ``models`` and its own commands to the parser."""
    models = commands.add_parser(
        "models",
        help="list, download, import and remove models",
        description="Models and their weights on this computer.",
    )
    models.set_defaults(run=run_models)
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", parents=[shared], help="all models, and which are here")
    for name, text in (
        ("info", "everything known about one model"),
        ("path", "print where the weights of a model are"),
        ("remove", "delete downloaded weights, or forget an imported model"),
    ):
        action = actions.add_parser(name, parents=[shared], help=text)
        action.add_argument("name", metavar="MODEL")
    download = actions.add_parser(
        "download", parents=[shared], help="fetch the published weights of a model"
    )
    download.add_argument("name", metavar="MODEL")
    download.add_argument(
        "--yes", action="store_true", help="accept the licence without being asked"
    )
    bring = actions.add_parser(
        "import", parents=[shared], help="remember a file of weights under a name"
    )
    bring.add_argument("file", type=Path, metavar="FILE")
    bring.add_argument("--name", help="default: the file's name without its suffix")
    bring.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="side of the input, where no tensor shows it (MedSAM2: 512)",
    )


def run_models(arguments: argparse.Namespace) -> int:
    """Carry out one action; returns the exit code."""
    action = arguments.action
    if action == "list":
        print(models_table())
    elif action == "info":
        print(model_facts(arguments.name))
    elif action == "path":
        print(_path_of(arguments.name))
    elif action == "download":
        return _download(arguments.name, yes=arguments.yes)
    elif action == "import":
        from napari_cellprompt.core.zoo.importing import import_model

        model = import_model(
            arguments.file, name=arguments.name, image_size=arguments.image_size
        )
        print(
            f"{model.name}: {_FAMILIES[model.family]}, input {model.image_size} x "
            f"{model.image_size}. The file stays at {model.path}."
        )
    else:
        from napari_cellprompt.core.zoo.user_models import forget_model, user_models

        mine = arguments.name in user_models()
        path = forget_model(arguments.name)
        print(f"Forgotten; the file stays: {path}" if mine else f"Deleted {path}")
    return 0


_FAMILIES = {"sam1": "SAM", "sam2": "SAM 2", "focus": "crop"}


def models_table() -> str:
    """Every model with its family, size and whether it is here; 80 columns wide."""
    from napari_cellprompt.core.zoo.registry import MODELS
    from napari_cellprompt.core.zoo.user_models import models_here, user_models

    here = set(models_here())
    rows = [("MODEL", "FAMILY", "SIZE", "HERE", "GOOD FOR")]
    for spec in MODELS.values():
        there = "bundled" if spec.bundled else "yes" if spec.name in here else "-"
        rows.append(
            (spec.name, _FAMILIES[spec.family], _megabytes(spec), there, spec.good_for)
        )
    for model in user_models().values():
        place = "yes" if model.name in here else "gone"
        rows.append((model.name, _FAMILIES[model.family], "-", place, model.path))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = []
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        line = "  ".join((*cells, row[4]))
        lines.append(line if len(line) <= 80 else f"{line[:79]}…")
    return "\n".join(lines)


def _megabytes(spec: ModelSpec) -> str:
    known = spec.source is not None and spec.source.nbytes
    return f"{known / 1e6:.0f} MB" if known else "-"


def model_facts(name: str) -> str:
    """What is known of one model, a line each."""
    from napari_cellprompt.core.zoo.registry import get_spec
    from napari_cellprompt.core.zoo.user_models import local_file, user_models

    mine = user_models().get(name)
    if mine is not None:
        return (
            f"{mine.name}\n  imported from  {mine.path}\n  family         "
            f"{_FAMILIES[mine.family]}\n  input          {mine.image_size} pixels"
            + (f"\n  came           {mine.origin}" if mine.origin else "")
        )
    spec = get_spec(name)
    found = local_file(spec)
    lines = [
        ("good for", spec.good_for),
        ("family", _FAMILIES[spec.family]),
        ("input", f"{spec.image_size} pixels"),
        ("follows", "no objects" if spec.family == "sam1" else "objects through stacks"),
    ]
    if spec.licence:
        lines.append(("licence", spec.licence))
    if spec.source is not None:
        lines += [
            ("from", spec.source.url),
            ("size", _megabytes(spec)),
            ("digest", spec.source.digest),
        ]
    bundled = "part of this package" if spec.bundled else "not on this computer"
    lines.append(("file", str(found) if found else bundled))
    return "\n".join([spec.name, *(f"  {key:<13}  {value}" for key, value in lines)])


def _path_of(name: str) -> Path:
    from napari_cellprompt.core.zoo.places import weights_path

    return weights_path(name)


def _download(name: str, *, yes: bool) -> int:
    from napari_cellprompt.core.zoo.download import address, download_weights
    from napari_cellprompt.core.zoo.registry import get_spec
    from napari_cellprompt.core.zoo.user_models import local_file

    spec = get_spec(name)
    found = local_file(spec)
    if found is not None or spec.bundled:
        print(f"{spec.name} is here already{f': {found}' if found else ''}.")
        return 0
    source = spec.source
    if source is not None:
        print(f"{spec.name}, {_megabytes(spec)}, from {address(source)}")
        print(f"Licence: {spec.licence}")
        if not yes and not _agreed():
            return 2
    path = download_weights(spec, progress=_Bar())
    print(f"\nVerified and saved as {path}", file=sys.stderr)
    return 0


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise CheckpointError(
            "Nobody is there to agree to the licence: add --yes to download without being "
            "asked."
        )
    return input("Download it under this licence? [y/N] ").strip().lower() in ("y", "yes")


class _Bar:
    """Progress in one line of the terminal, at most ten times a second."""

    def __init__(self) -> None:
        self._told = 0.0

    def __call__(self, there: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._told < 0.1 and there != total:
            return
        self._told = now
        share = f" of {total / 1e6:.0f} MB ({there / total:.0%})" if total else " MB"
        print(f"\r{there / 1e6:8.1f}{share}", end="", file=sys.stderr, flush=True)
