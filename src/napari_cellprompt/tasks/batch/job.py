"""From a job and a place with images to items, each with a request of its own."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.folders import images_in, natural_order
from napari_cellprompt.io.ome_zarr import is_zarr

from .schema import build, read_yaml
from .verbs import VERBS, Verb

__all__ = ["Item", "Job", "images_of", "items_of", "read_job"]

_LABELS = "_labels.tif"


@dataclass(frozen=True, slots=True)
class Job:
    """A task and its settings, without images."""

    name: str
    """Of the task."""
    verb: Verb
    template: Any
    """A request whose image and output are still to be filled in."""

    def request(self, image: Path, output: Path) -> Any:
        """The request for one image; ``{stem}`` and the like in paths are filled in."""
        words = {"stem": stem_of(image), "name": image.name, "folder": str(image.parent)}
        changes: dict[str, Any] = {self.verb.image: image, self.verb.output: output}
        for field in dataclasses.fields(self.template):
            value = getattr(self.template, field.name)
            if isinstance(value, Path) and field.name not in changes and "{" in str(value):
                changes[field.name] = Path(_fill(str(value), words))
        return dataclasses.replace(self.template, **changes)

    def written(self) -> dict[str, Any]:
        """The task and every setting, as plain values: two jobs are one if it is equal."""
        left = {self.verb.image, self.verb.output, *self.verb.left}
        settings = dataclasses.asdict(self.template)
        return {
            "task": self.name,
            **{name: _plain(value) for name, value in settings.items() if name not in left},
        }


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a batch; small, and travels to a worker."""

    name: str
    image: Path
    output: Path
    """Label TIFF."""
    run: str
    """``module:function`` that takes the request and a report."""
    request: Any

    def is_finished(self, since: int = 0) -> bool:
        """Whether labels are there that are not older than the image, or than ``since``.

        Files are written under another name and moved, so one that is there is whole.
        Times are nanoseconds since 1970.
        """
        try:
            oldest = max(since, self.image.stat().st_mtime_ns)
            return self.output.is_file() and self.output.stat().st_mtime_ns >= oldest
        except OSError:
            return False


def read_job(path: Path) -> Job:
    """Read and check a job.

    Raises
    ------
    ImageError
        With the line of what is wrong.
    """
    mapped = read_yaml(path)
    task = mapped.entries.get("task")
    known = ", ".join(VERBS)
    if task is None:
        raise ImageError(f"{path.name} must say 'task: ...', one of {known}.")
    verb = VERBS.get(task.value) if isinstance(task.value, str) else None
    if verb is None:
        raise ImageError(
            f"{path.name}, line {task.line}: task must be one of {known}: "
            f"got {task.value!r}."
        )
    for name in verb.left:
        if name in mapped.lines:
            raise ImageError(
                f"{path.name}, line {mapped.lines[name]}: {name} has no meaning in a batch."
            )
    if verb.one_of and sum(name in mapped.entries for name in verb.one_of) != 1:
        raise ImageError(
            f"{path.name} must say {' or '.join(verb.one_of)}, and just one of them."
        )
    nowhere = Path()
    template = build(
        verb.request_class(),
        mapped,
        path.name,
        given={verb.image: nowhere, verb.output: nowhere},
        unknown=("task",),
        folder=path.resolve().parent,
    )
    _check_words(path, template)
    return Job(task.value, verb, template)


def images_of(source: Path) -> list[Path]:
    """The images of a folder or a list, or the one image itself.

    Raises
    ------
    ImageError
        Where there is none, or a line of a list names a file that is not there.
    """
    if is_zarr(source) or (source.is_file() and source.suffix.lower() not in _LISTS):
        return [source]
    if source.is_dir():
        images = [
            path for path in images_in(source) if not path.name.lower().endswith(_LABELS)
        ]
        images += [path for path in source.iterdir() if is_zarr(path)]
        if not images:
            raise ImageError(f"There are no images in {source}.")
        return sorted(images, key=natural_order)
    if not source.is_file():
        raise ImageError(f"There is no file or folder {source}.")
    return _listed(source)


def items_of(job: Job, images: list[Path], output: Path) -> list[Item]:
    """One item an image, in a folder for labels.

    Raises
    ------
    ImageError
        Where two images would write one file.
    """
    items: dict[str, Item] = {}
    for image in images:
        name = stem_of(image)
        if name in items:
            raise ImageError(
                f"{items[name].image} and {image} would both write {name}{_LABELS}: rename "
                f"one of them, or run them into different folders."
            )
        target = output / f"{name}{_LABELS}"
        request = job.request(image, target)
        items[name] = Item(name, image, target, job.verb.run, request)
    return list(items.values())


def stem_of(image: Path) -> str:
    """The name of an image without what says its format: ``a.ome.tif`` is ``a``."""
    stem = image.stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


_LISTS = frozenset({".txt", ".list", ".csv"})


def _listed(source: Path) -> list[Path]:
    images = []
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"The list {source} cannot be read: {error}.") from error
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        image = source.parent / Path(text).expanduser()
        if not (image.is_file() or is_zarr(image)):
            raise ImageError(f"{source.name}, line {number}: there is no image {image}.")
        images.append(image)
    if not images:
        raise ImageError(f"{source.name} names no image.")
    return images


def _check_words(path: Path, template: Any) -> None:
    """Refuse a word in braces that stands for nothing."""
    for field in dataclasses.fields(template):
        value = getattr(template, field.name)
        if isinstance(value, Path) and "{" in str(value):
            try:
                _fill(str(value), {"stem": "", "name": "", "folder": ""})
            except (KeyError, ValueError, IndexError) as error:
                raise ImageError(
                    f"{path.name}: {field.name} may hold {{stem}}, {{name}} and {{folder}} "
                    f"of the image: got {value}."
                ) from error


def _fill(text: str, words: dict[str, str]) -> str:
    return text.format(**words)


def _plain(value: Any) -> Any:
    """A value that JSON keeps."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        json.dumps(value)
    except TypeError:
        return str(value)
    return value
