"""Axes, voxel sizes and units in ImageJ's and OME's words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    import tifffile

__all__ = ["Calibration", "canonical_unit", "ome_unit", "read_calibration", "seconds"]

# Name used in this package: (how else it is written, symbol in OME-XML).
_UNITS: dict[str, tuple[tuple[str, ...], str]] = {
    "um": (("µm", "μm", "micron", "microns", "micrometer", "micrometre"), "µm"),
    "nm": (("nanometer", "nanometre"), "nm"),
    "mm": (("millimeter", "millimetre"), "mm"),
    "cm": (("centimeter", "centimetre"), "cm"),
    "m": (("meter", "metre"), "m"),
    "angstrom": (("å", "Å", "a"), "Å"),
    "inch": (("in", "inches"), "in"),
    "pixel": (("", "pixels", "px", "voxel"), "pixel"),
}
_SECONDS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "ms": 1e-3,
    "millisecond": 1e-3,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
}


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a file says about the size of its pixels."""

    scale: tuple[float, ...]
    """Step along each axis of the image: ``unit`` for X, Y and Z, seconds for T,
    1 where nothing is known."""
    unit: str
    """Unit of X, Y and Z, such as ``um``; ``pixel`` when nothing is known."""


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


def read_calibration(tif: tifffile.TiffFile, axes: str) -> Calibration:
    """Read what an ImageJ or OME TIFF says about ``axes`` (letters, any order)."""
    if tif.is_ome and tif.ome_metadata:
        steps, unit = _from_ome(tif.ome_metadata)
    else:
        steps, unit = _from_imagej(tif)
    return Calibration(scale=tuple(steps.get(axis, 1.0) for axis in axes), unit=unit)


def _from_ome(xml: str) -> tuple[dict[str, float], str]:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return {}, "pixel"
    pixels = next((node for node in root.iter() if node.tag.endswith("}Pixels")), None)
    if pixels is None:
        return {}, "pixel"
    steps: dict[str, float] = {}
    for axis in "XYZ":
        _put(steps, axis, pixels.get(f"PhysicalSize{axis}"))
    interval = pixels.get("TimeIncrement")
    if _put(steps, "T", interval):
        in_seconds = seconds(steps["T"], pixels.get("TimeIncrementUnit", "s"))
        if in_seconds is not None:
            steps["T"] = in_seconds
    has_size = any(axis in steps for axis in "XYZ")
    # OME's default where the unit is left out is the micrometre.
    unit = pixels.get("PhysicalSizeXUnit", "µm") if has_size else "pixel"
    return steps, canonical_unit(unit)


def _from_imagej(tif: tifffile.TiffFile) -> tuple[dict[str, float], str]:
    metadata: dict[str, Any] | None = tif.imagej_metadata
    if metadata is None:
        # A resolution without ImageJ's unit is for printers, not about the specimen.
        return {}, "pixel"
    steps: dict[str, float] = {}
    page = tif.pages.first
    for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
        value = page.tags.valueof(tag)
        if value is not None and value[0] > 0:
            _put(steps, axis, value[1] / value[0])
    _put(steps, "Z", metadata.get("spacing"))
    if _put(steps, "T", metadata.get("finterval")):
        in_seconds = seconds(steps["T"], str(metadata.get("tunit", "s")))
        if in_seconds is not None:
            steps["T"] = in_seconds
    return steps, canonical_unit(str(metadata.get("unit", "")))


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
