"""Where the crop-wise model looks, and by which rule it chooses among what it saw."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CropSettings", "DenseSettings"]


@dataclass(frozen=True, slots=True)
class CropSettings:
    """How one object is asked for.

    Shares are of the crop's side. The rule that chooses a zoom was chosen on training
    images by ``benchmarks/zooms.py``; the shares, and that a doubtful box is seen twice
    (which gives 0.015 of IoU), by ``benchmarks/quality.py --parts train --limit 6``.
    """

    zooms: tuple[float, ...] = (20.0, 32.0, 52.0, 84.0, 136.0, 220.0, 360.0, 580.0)
    """Sides of the crops around a click on an object of unknown size, plane pixels."""
    growth: float = 1.62
    """From the largest zoom on, each next one is so much larger, where an object does not
    fit."""
    reach: float = 2.2
    """Zooms are smaller than so many longer sides of the plane."""
    second_share: float = 0.4
    """At which an object is looked at once more after its size was found."""
    box_share: float = 0.52
    """Of a box, at the first look."""
    sure: float = 0.8
    """Predicted IoU from which a box is not looked at twice: about half of them."""
    box_again_share: float = 0.52
    """Of box and first answer, at the second look."""
    mask_share: float = 0.47
    corrected_share: float = 0.55
    """Of mask and clicks together."""
    least_extent: float = 0.14
    """Answers that cover less of their crop are better seen in a smaller one."""
    most_extent: float = 0.6
    """Answers that cover more of their crop are better seen in a larger one."""
    floor: float = 0.3
    """What is left of an answer's score where its extent is worst."""
    disagreed: float = 0.6
    """What is left of an answer's score where no neighbouring zoom agrees."""
    different: float = 0.7
    """Answers of two zooms with a smaller overlap are alternatives."""
    least_score: float = 0.25
    """Predicted IoU of an alternative that is worth offering."""
    whole_extent: float = 0.95
    """An alternative that covers more of its crop was cut by it."""
    alternatives: int = 2


@dataclass(frozen=True, slots=True)
class DenseSettings:
    """How all objects of a plane are searched for, on the network's dense map.

    Chosen on training images by ``benchmarks/everything.py --parts train``.
    """

    share: float = 0.3
    """Of a crop's side that the longer side of the objects takes where they are searched
    for; the map was trained between 0.08 and 0.5."""
    tile: int = 256
    """Network pixels of what is looked at in one go; a multiple of 32."""
    margin: int = 32
    """Network pixels on each side of a tile that belong to its neighbours."""
    steps: tuple[float, ...] = (0.35, 0.7, 1.4, 2.8)
    """Plane pixels per network pixel at which places to click are looked for, while the
    size of the objects is not known."""
    surveyed: int = 3
    """Tiles of each of these scales that are looked at."""
    clicks: int = 4
    """The strongest peaks of each scale that are clicked."""
    smoothing: float = 1.0
    """Deviation of the Gaussian over the map, network pixels."""
    apart: float = 0.12
    """Least distance of two peaks, as a share of the objects' size."""
    together: int = 16
    """Peaks that are looked at before what was found is handed on; two batches."""
    least_height: float = 0.15
    """Of a peak: foreground times relative distance to the boundary."""
    foreground: float = 0.5
