"""Lineages from GEFF: which object divided into which."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.objects import ObjectFacts

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_lineage"]

_LABELS = ("label", "seg_id", "segmentation_id", "track_id", "tracklet")


def read_lineage(path: Path) -> dict[int, ObjectFacts]:
    """Read parents, and class, state and trust where they are there, by id of the object.

    Parameters
    ----------
    path
        A GEFF whose nodes have a property ``label`` (or ``seg_id``, ``track_id``, ...).

    Raises
    ------
    ImageError
        Where it cannot be read, or nodes do not say which object they are.
    """
    try:
        import geff
    except ImportError as error:
        raise ImageError(
            "GEFF needs the package geff: pip install napari-cellprompt[export]."
        ) from error
    try:
        graph, _ = geff.read(str(path))
    # Damaged files raise errors of many kinds.
    except Exception as error:
        raise ImageError(
            f"{path.name} cannot be read as GEFF: {type(error).__name__} {error}."
        ) from error
    nodes: dict[Any, dict[str, Any]] = dict(graph.nodes(data=True))
    name = next(
        (name for name in _LABELS if all(name in said for said in nodes.values())), None
    )
    if not nodes or name is None:
        raise ImageError(
            f"The nodes of {path.name} do not say which objects they are: one of the "
            f"properties {', '.join(_LABELS)} is needed on all of them."
        )
    parents = {}
    for source, target in graph.edges():
        before, after = int(nodes[source][name]), int(nodes[target][name])
        if before != after:
            parents[after] = before
    objects = {}
    for said in nodes.values():
        key, trust = int(said[name]), float(said.get("trust", math.nan))
        objects[key] = ObjectFacts(
            name=str(said.get("name", "")),
            class_name=str(said.get("class", "")),
            state=str(said.get("state", "")),
            trust=None if math.isnan(trust) else trust,
            parent=parents.get(key),
        )
    return objects
