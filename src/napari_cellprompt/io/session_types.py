"""What a session file holds: one frozen class for each kind of entry.

The classes are the schema: :mod:`.session_file` checks what it reads against them, and
``docs/session.schema.json`` is made from them. A field that is added has a default, so that
older files can be read; any other change raises ``VERSION``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field

from napari_cellprompt.core.types import MixedChannel, Prompts

__all__ = [
    "FORMAT",
    "VERSION",
    "Accept",
    "AcceptedObject",
    "Change",
    "ClassEntry",
    "DrawingEntry",
    "ExportEntry",
    "ImageEntry",
    "LayerEntry",
    "MaskEntry",
    "ModelEntry",
    "ObjectEntry",
    "PackedEntry",
    "Pixels",
    "Place",
    "PlaneEntry",
    "PlaneOfObject",
    "Propagate",
    "PropagationEntry",
    "RunCall",
    "Session",
    "StackEntry",
    "Step",
    "StoredEntry",
    "TrackEntry",
]

FORMAT: Final = "cellprompt session"
VERSION: Final = 1

_STRICT = ConfigDict(extra="forbid")
"""A key that is not known is an error: it would be lost when the file is written again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEntry:
    """The image that was worked on."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: str
    """Of the layer."""
    path: str | None = None
    """The file that it was read from; None where there is none."""
    shape: tuple[int, ...]
    dtype: str
    """As NumPy writes it, such as ``uint16``."""
    fingerprint: str
    """``content_fingerprint`` of the pixels."""
    rgb: bool = False
    """Whether the last axis holds red, green and blue."""
    axes: tuple[str, ...] = ()
    """What the layer calls its axes."""
    scale: tuple[float, ...] = ()
    units: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A model that answered."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: str
    hash: str
    """Of its weights and of how it takes prompts; empty where it was not known."""
    device: str = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassEntry:
    """A class that objects can have."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    number: int
    """Its value in a layer of classes, from 1 on."""
    name: str
    colour: str
    """``#rrggbb``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerEntry:
    """A Labels layer that took objects."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: str
    shape: tuple[int, ...]
    dtype: str
    transform: dict[str, Any] = field(default_factory=dict)
    """``scale``, ``translate``, ``affine`` and the like, as napari takes them."""
    axes: str = ""
    """A letter out of T, Z, C, Y, X for each axis, for a file of labels."""
    scale: tuple[float, ...] = ()
    """Step along each of them: ``unit`` for X, Y and Z, seconds for T."""
    unit: str = "pixel"
    classes: tuple[ClassEntry, ...] = ()
    """Classes that its objects can have."""
    highest: int = 0
    """The highest id that was ever given."""
    removed: bool = False
    """Whether the user took the layer out of the viewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneEntry:
    """One plane of the image, as the model saw it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    index: tuple[int, ...] = ()
    """Of the axes that are not in the plane, in the order of the array."""
    axes: tuple[int, int]
    """The array's axes that are rows and columns."""
    channel: int | None = None
    channel_axis: int | None = None
    limits: tuple[float, float] | None = None
    """Grey values that became 0 and 255; None where uint8 was taken as it is."""
    channels: tuple[MixedChannel, ...] = ()
    """Those that the picture was composed of; empty where there was no such picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One plane of a Labels layer's array, and where the image's pixels are on it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    index: tuple[int, ...] = ()
    axes: tuple[int, int]
    offset: tuple[int, int] = (0, 0)
    """Rows and columns to add to a pixel of the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskEntry:
    """A mask in the box around it, as compressed run lengths of COCO."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    origin: tuple[int, int]
    """Row and column of the box in the plane of the image."""
    size: tuple[int, int]
    """Rows and columns of the box."""
    counts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """Pixels of one plane of a Labels layer that have changed, in the box around them."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    index: tuple[int, ...] = ()
    axes: tuple[int, int]
    box: tuple[int, int, int, int]
    """``x0, y0, x1, y1`` in the layer's array, exclusive at the end."""
    values: str
    """Ids row by row as little-endian int64, zlib, base64; -2**63 where nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedObject:
    """One object of an accept."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    id: int
    prompts: Prompts
    candidate: int = 0
    """Which of the masks that the model offered, from 0; -1 where none of them."""
    size_hint: float | None = None
    """The size in pixels that the model was told to expect."""
    score: float = 0.0
    mask: MaskEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Objects of one plane that were accepted together."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    kind: Literal["accept"]
    at: float
    """Seconds since the session began."""
    layer: int
    model: int | None = None
    plane: PlaneEntry
    place: Place
    policy: Literal["keep", "replace"] = "keep"
    """What became of pixels that other objects had."""
    objects: tuple[AcceptedObject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCall:
    """One thing that a propagation was told, or did."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    do: str
    """``prompt``, ``lock``, ``unlock``, ``clear``, ``remove``, ``follow``, ``snapshot``,
    ``restore``."""
    id: int | None = None
    plane: int | None = None
    prompts: tuple[tuple[int, Prompts], ...] = ()
    """By object, of ``prompt``."""
    number: int | None = None
    """Of ``snapshot`` and ``restore``; planes that ``follow`` did."""
    ids: tuple[int, ...] | None = None
    start: int | None = None
    stop: int | None = None
    direction: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackEntry:
    """The planes that objects were followed through."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    plane: PlaneEntry
    """One of them."""
    axis: int
    """Of the image's array, along which they were followed."""
    name: str = ""
    """What the axis is called; ``t`` and ``time`` are movies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneOfObject:
    """One object on one plane of an accepted propagation."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    id: int
    plane: int
    place: Place
    mask: MaskEntry | None = None
    erase: bool = False
    """Whether pixels that had the id before and are not in the mask lost it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagate:
    """A propagation that was accepted."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    kind: Literal["propagation"]
    at: float
    layer: int
    model: int | None = None
    stack: StackEntry
    policy: Literal["keep", "replace"] = "keep"
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of ``PropagationSettings`` that are not their defaults."""
    calls: tuple[RunCall, ...] = ()
    """Seeds, runs, corrections, locks and ends, in order."""
    parents: dict[int, int] = field(default_factory=dict)
    """Parent by daughter, of accepted divisions."""
    planes: tuple[PlaneOfObject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Anything else that changed objects or pixels; the pixels say what came of it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    kind: Literal["change"]
    at: float
    layer: int
    what: str
    """Such as ``undo``, ``redo``, ``delete``, ``merge``, ``split``, ``class``,
    ``verified``, ``fill``, ``brush``."""
    ids: tuple[int, ...] = ()
    text: str = ""
    pixels: tuple[Pixels, ...] = ()


Step = Annotated[Accept | Propagate | Change, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectEntry:
    """What is known of an object now."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    layer: int
    id: int
    record: dict[str, Any]
    """Fields of ``ObjectRecord``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawingEntry:
    """Clicks and shapes that are not accepted yet, on all planes."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    points: tuple[tuple[float, ...], ...] = ()
    """In array order of the layer's data."""
    features: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Columns of the clicks, such as ``polarity``."""
    shapes: tuple[tuple[tuple[float, ...], ...], ...] = ()
    """Vertices of each shape."""
    kinds: tuple[str, ...] = ()
    shape_features: dict[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedEntry:
    """A mask with coarse logits inside."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    origin: tuple[int, int]
    shape: tuple[int, int]
    plane_shape: tuple[int, int]
    area: int
    data: str
    """Levels, uint8, zlib, base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """One object on one plane of a propagation."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    state: str
    iou: float = 0.0
    object_score: float = 0.0
    parts: int = 0
    step: int = 0
    contrast: float = 1.0
    failed: int = 0
    mask: PackedEntry | None = None
    prompts: Prompts | None = None
    prior: PackedEntry | None = None
    before: StoredEntry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackEntry:
    """One object of a propagation that is not accepted yet."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    id: int
    planes: dict[int, StoredEntry] = field(default_factory=dict)
    stale: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PropagationEntry:
    """A propagation that is not accepted yet: what is finished of it."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    stack: StackEntry
    limits: dict[str, Any] = field(default_factory=dict)
    """First and last plane, and direction."""
    settings: dict[str, Any] = field(default_factory=dict)
    ids: tuple[int, ...] = ()
    seeded: tuple[int, ...] = ()
    """Planes of the seeds."""
    on_screen: bool = False
    """Whether the seed was the object on screen."""
    again: int | None = None
    """The accepted object that is open again."""
    tracks: tuple[TrackEntry, ...] = ()
    parents: dict[int, int] = field(default_factory=dict)
    calls: tuple[RunCall, ...] = ()
    said: tuple[tuple[int, int, Prompts], ...] = ()
    """What planes were made from, as id, plane and prompts."""
    shown: tuple[tuple[int, int, Prompts], ...] = ()
    """Clicks and boxes of planes as they were drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportEntry:
    """Objects that were written to a file of their own."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    path: str
    at: float
    steps: int
    """How many steps there were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session file."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    format: Literal["cellprompt session"] = FORMAT
    version: Literal[1] = VERSION
    program: dict[str, str] = field(default_factory=dict)
    """Versions of what wrote the file."""
    started: str
    """Date and time in UTC, ISO 8601."""
    saved: str
    image: ImageEntry
    models: tuple[ModelEntry, ...] = ()
    layers: tuple[LayerEntry, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    drawing: DrawingEntry | None = None
    propagation: PropagationEntry | None = None
    exports: tuple[ExportEntry, ...] = ()
    objects: tuple[ObjectEntry, ...] = ()
    steps: tuple[Step, ...] = ()
