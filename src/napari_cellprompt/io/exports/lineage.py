"""GEFF, the graph exchange file format: objects at times as nodes, lineages as edges."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.atomic import making_folder
from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.calibration import canonical_unit

from .moments import frames_of
from .ome_zarr import OME_UNITS
from .subject import plural, silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .subject import ExportSubject, Survey

__all__ = ["losses", "write"]


def losses(subject: ExportSubject, seen: Survey) -> tuple[str, ...]:
    """Sentences on what the graph cannot hold.

    Raises
    ------
    ImageError
        Without a time axis.
    """
    if "T" not in subject.axes:
        raise ImageError(
            f"A lineage needs time, and these labels ({subject.axes}) have no axis T. If Z "
            f"is the time, say so: --axes TYX."
        )
    said = ["GEFF holds centres and lineages, no outlines: export labels beside it."]
    missing = [
        key
        for key in seen.frames
        if (parent := subject.facts(key).parent) is not None
        and not _is_before(seen.frames.get(parent, ()), seen.frames[key])
    ]
    if missing:
        said.append(
            f"{plural(len(missing), 'object has', 'objects have')} a parent that is not in "
            f"the labels before it: these edges are left out."
        )
    return tuple(said)


def write(
    path: Path,
    subject: ExportSubject,
    seen: Survey,
    progress: Callable[[int, int], None] = silent,
) -> None:
    """Write a folder that ends in ``.geff``.

    A node is an object on a frame: ``t`` (frame), ``z``, ``y``, ``x`` (centre, in the unit
    of the labels), ``label``, ``voxels``, class, state and trust. Edges join the frames of
    an object, over gaps too, and the last of a parent with the first of a daughter.
    """
    import geff
    import networkx

    letters = [letter for letter in "ZYX" if letter in subject.axes]
    graph = networkx.DiGraph()
    last: dict[int, int] = {}
    for objects in frames_of(subject, grey=False, progress=progress):
        for place, key in enumerate(objects.ids.tolist()):
            node = graph.number_of_nodes()
            centre = objects.centroids[place]
            graph.add_node(
                node,
                t=objects.time,
                **{
                    letter.lower(): float(centre["ZYX".index(letter)])
                    * subject.step(letter)
                    for letter in letters
                },
                label=key,
                voxels=int(objects.voxels[place]),
                **_said(subject, key),
            )
            parent = subject.facts(key).parent
            if key in last:
                graph.add_edge(last[key], node)
            elif (
                parent is not None
                and parent in last
                and _is_before(seen.frames[parent], seen.frames[key])
            ):
                graph.add_edge(last[parent], node)
            last[key] = node
    unit = OME_UNITS.get(canonical_unit(subject.unit))
    timed = "T" in subject.grid.known
    with making_folder(path) as folder:
        geff.write(
            graph,
            str(folder),
            # The folder is there, and empty; for geff that is a graph.
            overwrite=True,
            axis_names=["t", *(letter.lower() for letter in letters)],
            axis_units=[None, *[unit] * len(letters)],
            axis_types=["time", *["space"] * len(letters)],
            axis_scales=[subject.step("T") if timed else None, *[None] * len(letters)],
            scaled_units=["second" if timed else None, *[None] * len(letters)],
        )


def _said(subject: ExportSubject, key: int) -> dict[str, Any]:
    """Properties that every node has, so that none is missing in the arrays."""
    facts = subject.facts(key)
    return {
        "name": facts.name,
        "class": facts.class_name,
        "state": facts.state,
        "trust": math.nan if facts.trust is None else float(facts.trust),
    }


def _is_before(parent: tuple[int, ...], child: tuple[int, ...]) -> bool:
    return bool(parent) and bool(child) and parent[-1] < child[0]
