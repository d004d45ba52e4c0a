"""What the verbs are asked: frozen, picklable, and cheap to import.

A request names files; the function ``run`` of the module of its verb carries it out. The
fields are the one place where defaults are typed: the command line takes them from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from pathlib import Path

    from napari_cellprompt.core.adapt.settings import AdaptSettings
    from napari_cellprompt.core.inference.searching import Mode
    from napari_cellprompt.core.masks.found import FilterSettings
    from napari_cellprompt.core.propagate.types import Direction, PropagationSettings
    from napari_cellprompt.core.types import Colour

__all__ = [
    "DEFAULT_THRESHOLD",
    "AdaptRequest",
    "ComposedRequest",
    "EverythingRequest",
    "ExportRequest",
    "FewshotRequest",
    "FillRequest",
    "ImageRequest",
    "ImportRequest",
    "ModelRequest",
    "PropagateRequest",
    "SegmentRequest",
    "ShownChannel",
]

DEFAULT_THRESHOLD = 0.35
"""Score from which on an object is taken for one like the examples.

Chosen for recall on training images by ``benchmarks/fewshot.py --sweep --limit 5``: on four
sets with one kind of cell it finds 0.53 of them at a precision of 0.94 (0.45 and 0.93 at
0.5, 0.63 and 0.94 at 0.2). What lower ones cost is seen among cells of another kind: of two
kinds in equal numbers 0.59 of what it takes is wanted (0.76 at 0.5, 0.51 at 0.2).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """Which model is to answer, and where it runs."""

    model: str = DEFAULT_MODEL
    """Name of a model, or a file of weights."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``mps``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest(ModelRequest):
    """How image files are read and shown to a model."""

    axes: str | None = None
    """Letters of the axes, such as TZYX, where a file does not say."""
    channel: int | None = None
    """Which to look at, from 0; None: the first."""
    series: int | None = None
    """Which image of a file of several, see ``read_image``."""
    contrast: tuple[float, float] | None = None
    """Grey values that become 0 and 255; None takes the percentiles 0.1 and 99.9 of each
    whole image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownChannel:
    """One channel of the picture that a model is shown, and what becomes of it."""

    colour: Colour
    """``red``, ``green``, ``blue``, or ``grey``: all three."""
    channel: int
    """Which, from 0; of a colour picture red, green and blue are 0, 1 and 2."""
    low: float = 0.1
    high: float = 99.9
    """Percentiles of the whole image that become black and white."""
    invert: bool = False
    """Whether dark becomes bright."""
    smooth: float = 0.0
    """Standard deviation of a Gaussian within each plane, in pixels; 0: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedRequest(ImageRequest):
    """An image of which a model may be shown several channels together."""

    image: Path
    compose: tuple[ShownChannel, ...] = ()
    """Those that are shown together, instead of ``channel``; none: one, or the colours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRequest(ComposedRequest):
    """Objects that a file of prompts names, or labels hold, are to be segmented."""

    output: Path
    """Label TIFF."""
    prompts: Path | None = None
    refine: Path | None = None
    """Labels whose objects are drawn anew, instead of prompts; ids are kept."""
    along: str | None = None
    """``z`` or ``t``: the axis that ``plane`` counts; None takes z where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PropagateRequest(ComposedRequest):
    """Objects are to be followed through a stack or a movie."""

    output: Path
    """Label TIFF; tracks go beside it."""
    prompts: Path | None = None
    seeds: Path | None = None
    """Labels of one plane, instead of prompts; ids are kept."""
    plane: int | None = None
    """The plane of the seeds."""
    along: str | None = None
    """``z`` or ``t``; None takes z where there is one."""
    direction: Direction = "both"
    start: int | None = None
    stop: int | None = None
    """First and last plane wanted, both inclusive."""
    divisions: bool = False
    """Whether objects that stay in two parts end, and the parts go on."""
    disk_cache: float = 0
    """MB of features that are kept in files."""
    settings: PropagationSettings | None = None
    """How objects are followed; None: as the class says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EverythingRequest(ComposedRequest):
    """All objects of an image are to be labelled."""

    output: Path
    """Label TIFF."""
    mode: Mode = "auto"
    size: float | None = None
    """Longer side of the objects in pixels; None finds it from the image."""
    link: bool = True
    """One id per object through a stack."""
    filters: FilterSettings | None = None
    """Which objects to keep; None: as the class says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FewshotRequest(ImageRequest):
    """All objects like a few examples are to be labelled, in every image of a folder."""

    folder: Path
    output: Path
    """Folder for labels and tables."""
    examples: tuple[tuple[Path, Path], ...] = ()
    """Images and the labels of wanted objects on them."""
    others: tuple[tuple[Path, Path], ...] = ()
    """Images and the labels of objects that are not wanted."""
    bank: Path | None = None
    """Examples that were saved before."""
    save_bank: Path | None = None
    threshold: float = DEFAULT_THRESHOLD
    """Score from which on an object is taken, 0 to 1."""
    again: bool = False
    """Also images whose labels are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """Labels are to be written in another format."""

    labels: Path
    """Label TIFF, or any file or folder that can be imported."""
    to: str
    """Name of the format."""
    output: Path
    """File or folder."""
    image: Path | None = None
    """For grey values, training folders, and the voxel size where labels have none."""
    objects: Path | None = None
    """Table (CSV) or lineage (GEFF) that says class, state, trust and parent by label."""
    axes: str | None = None
    """Letters of the axes of the labels, such as TYX, where the file does not say."""
    image_axes: str | None = None
    """Letters of the axes of the image, where the file does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """Labels of another format are to become a label TIFF."""

    source: Path
    """File or folder."""
    output: Path
    """Label TIFF; what is said of objects goes into a table beside it."""
    source_format: str | None = None
    """Name of the format; None looks."""
    like: Path | None = None
    """The image, for the size and voxel size that the format does not hold."""
    axes: str | None = None
    """Letters of the axes, where the file does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRequest(ImageRequest):
    """Objects are to be filled in between the planes on which they are drawn."""

    labels: Path
    """Labels of a stack, with planes left out."""
    output: Path
    """Label TIFF."""
    image: Path | None = None
    """Looked at by the model, which may pull the outlines; ``axes`` and ``series`` are
    its, otherwise those of the labels."""
    along: str | None = None
    """``z`` or ``t``; None takes z where there is one."""
    ids: tuple[int, ...] = ()
    """The objects that are wanted; none named: all."""
    largest_gap: int | None = None
    """Planes in a row without an object up to which they are filled; None: any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptRequest(ModelRequest):
    """A crop-wise model is to learn from the objects of a folder."""

    folder: Path
    """Holds ``NAME_img.tif`` and ``NAME_lab.tif``."""
    output: Path
    """The adapted model, ``.safetensors``; it is imported under the file's name."""
    settings: AdaptSettings | None = None
    """How long and how; None: as the class says."""
    partial: bool = False
    """Whether there are objects that are not labelled."""
    always: bool = False
    """Write the model also where it is no better."""
