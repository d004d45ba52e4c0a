"""Axes and calibration of a layer, out of the attributes that napari hands to writers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pint

__all__ = ["axes_of_layer", "calibration_of_layer", "is_timed"]

# Words that people give as axis labels, beside the letters themselves.
_WORDS = {
    "time": "T",
    "frame": "T",
    "depth": "Z",
    "plane": "Z",
    "channel": "C",
    "row": "Y",
    "column": "X",
}
# What the axes are when nothing says otherwise, by their number.
_DEFAULT_AXES = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TZCYX"}


def axes_of_layer(ndim: int, meta: Mapping[str, Any]) -> str:
    """One letter out of T, Z, C, Y, X for each axis of a layer.

    Taken from the layer's axis labels when they name all axes; else the last axes are Y
    and X and the others Z, T then Z, or T, Z, C; the first of three is T when its unit is
    one of time.
    """
    named = [str(label).strip().lower() for label in meta.get("axis_labels") or ()]
    letters = "".join(_WORDS.get(name, name.upper()) for name in named)
    if len(letters) == ndim and set("YX") <= set(letters) <= set("TZCYX"):
        return letters
    axes = _DEFAULT_AXES.get(ndim, "?" * ndim)
    units = tuple(meta.get("units") or ())
    if ndim == 3 and len(units) == 3 and _as_unit(units[0]).is_compatible_with("second"):
        return "TYX"
    return axes


def is_timed(axes: str, meta: Mapping[str, Any]) -> bool:
    """Whether the layer says how long a step along its axis T takes."""
    units = tuple(meta.get("units") or ())
    if "T" not in axes or len(units) != len(axes):
        return False
    return bool(_as_unit(units[axes.index("T")]).is_compatible_with("second"))


def calibration_of_layer(axes: str, meta: Mapping[str, Any]) -> tuple[list[float], str]:
    """Steps along the axes and the unit of X, Y and Z.

    Lengths are given in the unit of the X axis, times in seconds; a step whose unit
    cannot be converted keeps its number.
    """
    ndim = len(axes)
    steps = np.abs(np.asarray(meta.get("scale", np.ones(ndim)), dtype=float))
    affine = meta.get("affine")
    if affine is not None:
        # A layer's affine comes on top of its scale: each axis is stretched by the
        # length of its column.
        linear = np.asarray(affine, dtype=float)[:ndim, :ndim]
        steps = steps * np.linalg.norm(linear, axis=0)
    units = [_as_unit(unit) for unit in meta.get("units") or ("pixel",) * ndim]
    x_unit = units[axes.index("X")] if "X" in axes else units[-1]
    scale = []
    for letter, step, unit in zip(axes, steps, units, strict=True):
        target = _as_unit("second") if letter == "T" else x_unit
        known = unit.is_compatible_with(target)
        scale.append(float((step * unit).to(target).magnitude) if known else float(step))
    return scale, f"{x_unit:~}" if x_unit != _as_unit("pixel") else "pixel"


def _as_unit(unit: str | pint.Unit) -> pint.Unit:
    import pint

    known: pint.Unit = pint.get_application_registry().Unit(str(unit))
    return known
