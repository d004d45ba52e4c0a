"""A session in words: what is in it, and a paragraph for a methods section."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from napari_cellprompt.io.session_types import Accept, Change, Propagate

from .images import seen_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cellprompt.core.types import MixedChannel
    from napari_cellprompt.io.session_types import Session

__all__ = ["describe", "methods"]

_PAUSE = 120.0
"""Seconds without a step that do not count as work."""


def describe(session: Session) -> list[str]:
    """What is in a session, line by line."""
    image = session.image
    lines = [
        f"image     {image.name}: {' x '.join(map(str, image.shape))} {image.dtype}"
        + (f", {image.path}" if image.path else ""),
        f"made      {session.started} to {session.saved}, "
        f"version {session.program.get('cellprompt', '?')}",
    ]
    for model in dict.fromkeys(session.models):
        lines.append(f"model     {model.name} on {model.device}, hash {model.hash or '?'}")
    for channels in dict.fromkeys(_pictures(session)):
        lines.append(f"channels  {_mixed(channels, image.name)}")
    for number, layer in enumerate(session.layers):
        own = [entry for entry in session.objects if entry.layer == number]
        gone = ", removed" if layer.removed else ""
        lines.append(f"layer     '{layer.name}': {_counted(len(own), 'object')}{gone}")
    for what, count in sorted(_kinds(session).items()):
        lines.append(f"steps     {count} x {what}")
    if session.drawing is not None:
        count = len(session.drawing.points) + len(session.drawing.shapes)
        lines.append(f"in work   {_counted(count, 'prompt')} that are not accepted")
    if session.propagation is not None:
        tracks = session.propagation.tracks
        planes = sum(len(track.planes) for track in tracks)
        lines.append(
            f"in work   a propagation of {_counted(len(tracks), 'object')}, "
            f"{_counted(planes, 'plane')} finished"
        )
    for export in session.exports:
        lines.append(f"exported  {export.path} after {_counted(export.steps, 'step')}")
    return lines


def methods(session: Session) -> str:
    """A paragraph for a methods section, from what was done."""
    objects = len(session.objects)
    version = session.program.get("cellprompt", "?")
    names = " and ".join(
        f"{model.name} (weights {model.hash[:8] or 'unknown'})"
        for model in dict.fromkeys(session.models)
    )
    text = (
        f"{_counted(objects, 'object')} {'was' if objects == 1 else 'were'} segmented with "
        f"napari-cellprompt {version}"
    )
    text += f" and the model {names}." if names else "."
    accepted = [one for s in session.steps if isinstance(s, Accept) for one in s.objects]
    if accepted:
        points = [one.prompts.points for one in accepted]
        boxes = sum(one.prompts.box is not None for one in accepted)
        clicks = sum(len(item) for item in points)
        given = [_counted(clicks, "click"), _counted(boxes, "box")]
        lines = sum(len(one.prompts.strokes) for one in accepted)
        outlines = sum(one.prompts.mask is not None for one in accepted)
        if lines:
            given.append(_counted(lines, "line"))
        if outlines:
            given.append(_counted(outlines, "drawn outline"))
        total = clicks + boxes + lines + outlines
        text += (
            f" {_counted(len(accepted), 'mask')} {_were(len(accepted))} accepted from "
            f"{', '.join(given[:-1])} and {given[-1]} "
            f"({total / len(accepted):.1f} prompts per object)."
        )
    text += _followed(session)
    for channels in dict.fromkeys(_pictures(session)):
        text += f" The model was shown a picture of {_mixed(channels, session.image.name)}."
    kinds = _kinds(session)
    mended = {
        word: kinds.get(word, 0)
        for word in ("brush", "delete", "merge", "split", "fill", "undo")
        if kinds.get(word)
    }
    if mended:
        parts = ", ".join(f"{word} {count}" for word, count in mended.items())
        text += f" Changes by hand: {parts}."
    minutes = _minutes(session)
    if minutes:
        text += f" This took {minutes:.0f} min of work."
    return text


def _pictures(session: Session) -> Iterator[tuple[MixedChannel, ...]]:
    """What pictures of several channels were composed of, of each step with one."""
    for step in session.steps:
        plane = seen_by(step)
        if plane is not None and plane.channels:
            yield plane.channels


def _mixed(channels: tuple[MixedChannel, ...], name: str) -> str:
    """Channels and what was done to them, in words."""
    texts = []
    for one in channels:
        text = name if one.image is None else one.image.name
        text += "" if one.number is None else f" channel {one.number}"
        text += f" as {one.colour} ({one.limits[0]:g} to {one.limits[1]:g}"
        text += ", inverted" if one.invert else ""
        text += f", smoothed by {one.smooth:g} pixels" if one.smooth else ""
        texts.append(f"{text})")
    return ", ".join(texts)


def _followed(session: Session) -> str:
    """A sentence on propagations."""
    runs = [step for step in session.steps if isinstance(step, Propagate)]
    if not runs:
        return ""
    planes = sum(item.mask is not None for run in runs for item in run.planes)
    ids = {(run.layer, item.id) for run in runs for item in run.planes}
    seeds = {
        (n, i) for n, run in enumerate(runs) for item in run.planes for i in (item.id,)
    }
    calls = [call for run in runs for call in run.calls]
    prompted = sum(len(call.prompts) for call in calls if call.do == "prompt")
    corrections = max(prompted - len(seeds), 0)
    locks = sum(call.do in ("lock", "clear") for call in calls)
    return (
        f" {_counted(len(ids), 'object')} {_were(len(ids))} followed through "
        f"{_counted(planes, 'plane')}, with {_counted(corrections, 'correction')} and "
        f"{_counted(locks, 'plane')} confirmed or cleared by hand."
    )


def _kinds(session: Session) -> Counter[str]:
    return Counter(
        step.what if isinstance(step, Change) else step.kind for step in session.steps
    )


def _minutes(session: Session) -> float:
    """Time of work, without pauses."""
    times = [step.at for step in session.steps]
    steps = zip([0.0, *times], times, strict=False)
    return sum(min(max(after - before, 0.0), _PAUSE) for before, after in steps) / 60


def _counted(number: int, word: str) -> str:
    many = f"{word}es" if word.endswith("x") else f"{word}s"
    return f"{number} {word if number == 1 else many}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
