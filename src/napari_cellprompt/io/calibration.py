"""Axes, voxel sizes and units in ImageJ's and OME's words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    import tifffile

__all__ = [
    "Calibration",
    "canonical_unit",
    "converted",
    "in_range",
    "ome_unit",
    "read_calibration",
    "seconds",
]

# Name used in this package: (how else it is written, symbol in OME-XML).
_UNITS: dict[str, tuple[tuple[str, ...], str]] = {
    "um": (("µm", "μm", "micron", "microns", "micrometer", "micrometre"), "µm"),
    "nm": (("nanometer", "nanometre"), "nm"),
    "pm": (("picometer", "picometre"), "pm"),
    "mm": (("millimeter", "millimetre"), "mm"),
    "cm": (("centimeter", "centimetre"), "cm"),
    "m": (("meter", "metre"), "m"),
    "angstrom": (("å", "Å", "a"), "Å"),
    "inch": (("in", "inches"), "in"),
    "pixel": (("", "pixels", "px", "voxel"), "pixel"),
}
_METRES = {
    "pm": 1e-12,
    "angstrom": 1e-10,
    "nm": 1e-9,
    "um": 1e-6,
    "mm": 1e-3,
    "cm": 1e-2,
    "inch": 0.0254,
    "m": 1.0,
}
# TIFF keeps pixels per unit as a fraction of two 32-bit numbers: within these limits
# a step comes back with at least three digits.
_SMALLEST, _LARGEST = 1e-6, 1e6
_SECONDS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "us": 1e-6,
    "µs": 1e-6,
    "microsecond": 1e-6,
    "ms": 1e-3,
    "millisecond": 1e-3,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a file says about the size of its pixels."""

    scale: tuple[float, ...]
    """Step along each axis of the image: ``unit`` for X, Y and Z, seconds for T,
    1 where nothing is known."""
    unit: str
    """Unit of X, Y and Z, such as ``um``; ``pixel`` when nothing is known."""
    known: str = ""
    """Letters of the axes whose step in ``unit``, or in seconds, the file says."""


def canonical_unit(unit: str | None) -> str:
    """Return one spelling for each unit of length: all of µm, micron, ... are ``um``.

    A unit that is not known stays as it is, None and an empty one are ``pixel``.
    """
    # ImageJ escapes characters beyond ASCII.
    text = (unit or "").replace("\\u00B5", "µ").strip()
    for name, (others, _) in _UNITS.items():
        if text.lower() in (name, *others, *(f"{other}s" for other in (name, *others))):
            return name
    return text


def ome_unit(unit: str) -> str:
    """Return the symbol that OME-XML has for a unit of length; ``pixel`` if none."""
    known = _UNITS.get(canonical_unit(unit))
    return "pixel" if known is None else known[1]


def seconds(interval: float, unit: str) -> float | None:
    """Return a time in seconds, or None when the unit is no unit of time."""
    factor = _SECONDS.get(unit.strip().lower()) or _SECONDS.get(
        unit.strip().lower().removesuffix("s")
    )
    return None if factor is None else interval * factor


def converted(step: float, unit: str, target: str) -> float | None:
    """Return a length in another unit, or None where the two cannot be compared."""
    unit, target = canonical_unit(unit), canonical_unit(target)
    if unit == target:
        return step
    if unit in _METRES and target in _METRES:
        return _rounded(step * _METRES[unit] / _METRES[target])
    return None


def _rounded(step: float) -> float:
    """Without what powers of ten leave behind in the last digits."""
    return float(f"{step:.12g}")


def in_range(steps: dict[str, float], unit: str) -> tuple[dict[str, float], str]:
    """Return steps and unit that a TIFF can keep: 4e-10 m become 0.4 nm.

    Parameters
    ----------
    steps
        By letter of the axis; those of X, Y and Z are in ``unit``.
    unit
        Unit of X, Y and Z. One that is no length stays, and so do its steps.
    """
    lengths = [steps[axis] for axis in "XYZ" if axis in steps]
    name = canonical_unit(unit)
    if name not in _METRES or all(_SMALLEST <= step <= _LARGEST for step in lengths):
        return steps, unit
    # The unit in which the finest step is nearest to 1.
    finest = min(lengths) * _METRES[name]
    target = min(
        ("pm", "nm", "um", "mm", "m"),
        key=lambda item: abs(math.log(finest / _METRES[item])),
    )
    factor = _METRES[name] / _METRES[target]
    return {
        axis: _rounded(step * factor) if axis in "XYZ" else step
        for axis, step in steps.items()
    }, target


def read_calibration(tif: tifffile.TiffFile, axes: str, series: int = 0) -> Calibration:
    """Read what an ImageJ or OME TIFF says about ``axes`` (letters, any order).

    Y and Z are brought to the unit of X; where that cannot be done, their step counts as
    not known.

    Parameters
    ----------
    tif
        The open file.
    axes
        Letters of the axes that are asked about.
    series
        Which image of the file, where an OME-TIFF holds several.
    """
    if tif.is_ome and tif.ome_metadata:
        steps, units = _from_ome(tif.ome_metadata, series)
    else:
        steps, units = _from_imagej(tif)
    unit = next((units[axis] for axis in "XYZ" if axis in steps), "pixel")
    for axis in "XYZ":
        if axis in steps:
            step = converted(steps[axis], units[axis], unit)
            if step is None:
                del steps[axis]
            else:
                steps[axis] = step
    return Calibration(
        scale=tuple(steps.get(axis, 1.0) for axis in axes),
        unit=unit,
        known="".join(
            axis for axis in axes if axis in steps and (axis == "T" or unit != "pixel")
        ),
    )


def _from_ome(xml: str, series: int) -> tuple[dict[str, float], dict[str, str]]:
    """Steps along the axes, and the unit of each length."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return {}, {}
    images = [node for node in root.iter() if node.tag.endswith("}Pixels")]
    if not images:
        return {}, {}
    pixels = images[min(series, len(images) - 1)]
    steps: dict[str, float] = {}
    units: dict[str, str] = {}
    for axis in "XYZ":
        _put(steps, axis, pixels.get(f"PhysicalSize{axis}"))
        # OME's default where the unit is left out is the micrometre.
        units[axis] = canonical_unit(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    _put_time(steps, pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    return steps, units


def _from_imagej(tif: tifffile.TiffFile) -> tuple[dict[str, float], dict[str, str]]:
    """Steps along the axes, and the unit of each length."""
    metadata: dict[str, Any] | None = tif.imagej_metadata
    if metadata is None:
        # A resolution without ImageJ's unit is for printers, not about the specimen.
        return {}, {}
    steps: dict[str, float] = {}
    page = tif.pages.first
    for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
        value = page.tags.valueof(tag)
        if value is not None and value[0] > 0:
            _put(steps, axis, value[1] / value[0])
    # ImageJ writes a negative spacing where the stage went down.
    _put(steps, "Z", str(metadata.get("spacing", "")).removeprefix("-"))
    _put_time(steps, metadata.get("finterval"), str(metadata.get("tunit", "s")))
    unit = str(metadata.get("unit", ""))
    named = {"X": unit, "Y": metadata.get("yunit", unit), "Z": metadata.get("zunit", unit)}
    return steps, {axis: canonical_unit(str(value)) for axis, value in named.items()}


def _put_time(steps: dict[str, float], interval: Any, unit: str) -> None:
    """Keep an interval in seconds; one in no known unit of time counts as not known."""
    if _put(steps, "T", interval):
        in_seconds = seconds(steps.pop("T"), unit)
        if in_seconds is not None:
            steps["T"] = in_seconds


def _put(steps: dict[str, float], axis: str, value: Any) -> bool:
    """Keep a positive number; anything else means that the size is not known."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    if not (math.isfinite(number) and number > 0):
        return False
    steps[axis] = number
    return True
