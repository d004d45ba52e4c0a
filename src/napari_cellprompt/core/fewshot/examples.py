"""Tells from a few examples which of all found objects are of the same kind.

Every object is described by what the image encoder says inside its mask, by its grey
values and by its shape. Distances are measured in units of how much the objects of the
example images differ among themselves, so that what varies anyway counts little.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy import ndimage

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import CheckpointError, PromptError
from napari_cellprompt.core.types import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.inference.model import Model, Sight
    from napari_cellprompt.core.types import CroppedMask

__all__ = [
    "OTHER",
    "Description",
    "Example",
    "ExampleBank",
    "mutual_logits",
    "properties_of",
    "thumbnail",
]

OTHER = "other"
"""The kind of what is not wanted."""

_FORMAT = "napari-cellprompt examples"
_VERSION = 2
_NETWORK_SHARE, _LOOK_SHARE, _SHAPE_SHARE = 0.5, 0.3, 0.2
"""Of the squared distance of two objects, what each group of properties makes up."""
_CLIP = 4.0
"""Standard deviations beyond which a property counts no further."""
_TEMPERATURE = 0.125
"""Part of the squared distance of two random objects over which the belief in a kind
falls by a factor of the root of e."""
_LEAST_SPREAD = 1e-3
_MEMORY_WEIGHT = 0.5
"""What a logit less than those of the examples takes from the belief in a kind ..."""
_MEMORY_RANGE = (-4.0, 0.0)
"""... at most; and the most that a higher one adds."""
_THUMBNAIL = 48


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """Properties of N objects."""

    values: NDArray[np.float32]
    """``(N, D)``."""
    weights: NDArray[np.float32]
    """``(D,)``: what each property counts in a squared distance; their sum is 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One object that was shown."""

    kind: str
    values: NDArray[np.float32]
    """``(D,)``."""
    thumbnail: NDArray[np.uint8]
    """``(48, 48, 3)``: what it looks like."""
    source: str
    """Where it is from, for people to read."""
    size: float
    """Longer side in pixels."""
    memory: NDArray[np.float16] | None = None
    """``(mem_dim, h, w)``, where the model has a memory."""
    logit: float = 0.0
    """Object logit when it is recognised from the examples beside it."""


class ExampleBank:
    """The examples of every kind, and how much objects differ in their images.

    Parameters
    ----------
    model
        Fingerprint of the model whose features describe the objects.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.examples: list[Example] = []
        self.weights: NDArray[np.float32] | None = None
        self._count = 0
        self._sum: NDArray[np.float64] = np.zeros(0)
        self._squares: NDArray[np.float64] = np.zeros(0)

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds, in the order in which they were first shown."""
        return tuple(dict.fromkeys(example.kind for example in self.examples))

    @property
    def size(self) -> float | None:
        """Median of the longer sides in pixels of the examples of what is wanted."""
        sizes = [example.size for example in self.examples if example.kind != OTHER]
        if not self.examples:
            return None
        return float(np.median(sizes or [example.size for example in self.examples]))

    def add(self, examples: Sequence[Example], weights: NDArray[np.float32]) -> None:
        """Add examples whose properties count as ``weights`` says."""
        self._check_width(len(weights))
        self.weights = weights
        self.examples += examples

    def remove(self, index: int) -> None:
        """Forget one example."""
        del self.examples[index]

    def add_population(self, values: NDArray[np.float32]) -> None:
        """Learn from properties ``(N, D)`` of any objects how much they differ."""
        self._check_width(values.shape[1])
        if self._count == 0:
            self._sum = np.zeros(values.shape[1])
            self._squares = np.zeros(values.shape[1])
        wide = values.astype(np.float64)
        self._count += len(wide)
        self._sum = self._sum + wide.sum(axis=0)
        self._squares = self._squares + (wide**2).sum(axis=0)

    def memories(self, kind: str) -> list[NDArray[np.float16]]:
        """The memories of a kind, the latest last; none for models without memory."""
        return [
            example.memory
            for example in self.examples
            if example.kind == kind and example.memory is not None
        ]

    def scores(
        self, values: NDArray[np.float32], logits: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """How sure it is that objects are of each kind.

        Each kind is as near as its nearest example. The kinds compete with each other
        and with "none of them", which is as near as two random objects are. An object
        that is recognised from memory less well than the examples are loses.

        Parameters
        ----------
        values
            Properties ``(N, D)``.
        logits
            ``(N, K)`` object logits by :meth:`Model.recognise`, in the
            order of ``kinds``.

        Returns
        -------
        ndarray
            ``(N, K)`` in the order of ``kinds``, 0 to 1, each row's sum below 1.

        Raises
        ------
        PromptError
            Where there are no examples.
        """
        if not self.examples or self.weights is None:
            raise PromptError("There are no examples yet: show at least one object.")
        self._check_width(values.shape[1])
        weights = self.weights
        mean = self._sum / max(self._count, 1)
        variance = self._squares / max(self._count, 1) - mean**2
        spread = np.sqrt(np.maximum(variance, _LEAST_SPREAD**2))

        def standard(properties: NDArray[Any]) -> NDArray[np.float64]:
            clipped = np.clip((properties - mean) / spread, -_CLIP, _CLIP)
            weighted: NDArray[np.float64] = clipped * np.sqrt(weights)
            return weighted

        # of two random objects; what does not vary at all adds nothing
        strangers = 2 * float((weights * variance.clip(0) / spread**2).sum())
        scale = 2 * _TEMPERATURE * max(strangers, _LEAST_SPREAD)
        asked = standard(values)
        beliefs = np.empty((len(values), len(self.kinds) + 1))
        for column, kind in enumerate(self.kinds):
            shown = standard(np.stack([e.values for e in self.examples if e.kind == kind]))
            squares = ((asked[:, None] - shown[None]) ** 2).sum(axis=2)
            beliefs[:, column] = -squares.min(axis=1) / scale
            if logits is not None:
                own = min(e.logit for e in self.examples if e.kind == kind)
                less = np.clip(logits[:, column] - own, *_MEMORY_RANGE)
                beliefs[:, column] += _MEMORY_WEIGHT * less
        beliefs[:, -1] = -strangers / scale
        powers = np.exp(beliefs - beliefs.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return shares[:, :-1]

    def _check_width(self, width: int) -> None:
        if self.weights is not None and len(self.weights) != width:
            raise PromptError(
                f"The examples have {len(self.weights)} properties, these objects "
                f"{width}: they were described by another model."
            )

    # -- files -----------------------------------------------------------------
    def save(self, path: str | Path) -> Path:
        """Write the bank as one file, whole or not at all.

        Raises
        ------
        PromptError
            Where there are no examples.
        SaveError
            Where the file cannot be written.
        """
        if not self.examples or self.weights is None:
            raise PromptError("There are no examples to save.")
        about = {
            "format": _FORMAT,
            "version": _VERSION,
            "model": self.model,
            "count": self._count,
            "examples": [
                {"kind": e.kind, "source": e.source, "size": e.size, "logit": e.logit}
                for e in self.examples
            ],
        }
        tensors: dict[str, NDArray[Any]] = {
            "values": np.ascontiguousarray([e.values for e in self.examples], np.float32),
            # safetensors writes the memory as it lies, whatever the order of the axes
            "thumbnails": np.ascontiguousarray([e.thumbnail for e in self.examples]),
            "weights": self.weights.astype(np.float32),
            "sum": self._sum,
            "squares": self._squares,
        }
        memories = [e.memory for e in self.examples if e.memory is not None]
        if len(memories) == len(self.examples):
            tensors["memories"] = np.ascontiguousarray(memories)
        with replacing(path) as temporary:
            save_file(tensors, str(temporary), metadata={"examples": json.dumps(about)})
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, model: str) -> ExampleBank:
        """Read a bank that :meth:`save` wrote.

        Parameters
        ----------
        path
            The file.
        model
            Fingerprint of the model in use; examples of another one cannot be compared.

        Raises
        ------
        CheckpointError
            Where the file is damaged, no such bank, or of another model.
        """
        try:
            with safe_open(str(path), framework="numpy") as file:
                text = (file.metadata() or {}).get("examples")
                names = file.keys() if text is not None else []
                tensors = {name: file.get_tensor(name) for name in names}
            about = json.loads(text or "{}")
            if about.get("format") != _FORMAT:
                raise ValueError("it holds no examples of this plugin")
            if about.get("version") != _VERSION:
                raise ValueError(
                    f"it has the version {about.get('version')}, this plugin reads version "
                    f"{_VERSION}: show the examples again"
                )
            bank = cls(str(about["model"]))
            bank._take(about, tensors)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"The examples {path} cannot be read ({error}): the file is missing, "
                "damaged or of another kind."
            ) from error
        if bank.model != model:
            raise CheckpointError(
                f"The examples {path} were made with another model or other weights: "
                "choose that model, or show the examples again."
            )
        return bank

    def _take(self, about: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        values, thumbnails = tensors["values"], tensors["thumbnails"]
        count, width = len(about["examples"]), len(tensors["weights"])
        shapes = {
            "values": (count, width),
            "thumbnails": (count, _THUMBNAIL, _THUMBNAIL, 3),
            "sum": (width,),
            "squares": (width,),
        }
        for name, shape in shapes.items():
            if tensors[name].shape != shape:
                raise ValueError(f"{name} has the shape {tensors[name].shape}")
            if not np.isfinite(tensors[name]).all():
                raise ValueError(f"{name} is not finite")
        memories: Any = tensors.get("memories", [None] * count)
        if len(memories) != count or ("memories" in tensors and memories.ndim != 4):
            raise ValueError("the memories do not belong to the examples")
        self.weights = tensors["weights"]
        self._count = int(about["count"])
        self._sum, self._squares = tensors["sum"], tensors["squares"]
        self.examples = [
            Example(
                str(e["kind"]),
                row,
                picture,
                str(e["source"]),
                float(e["size"]),
                memory,
                float(e["logit"]),
            )
            for e, row, picture, memory in zip(
                about["examples"], values, thumbnails, memories, strict=True
            )
        ]


# -- describing objects ------------------------------------------------------------------
def properties_of(
    model: Model, plane: PlaneSource, sights: Sequence[Sight], size: float
) -> Description:
    """Properties of objects of one plane.

    Parameters
    ----------
    model
        What describes them, beside their grey values and shapes.
    plane
        Where the objects are.
    sights
        Their masks, none empty, and the part of the plane that each was seen in.
    size
        Longer side of such objects in pixels.
    """
    if not sights:
        return Description(np.zeros((0, 0), np.float32), np.zeros(0, np.float32))
    network = model.describe(plane, sights, size)
    looks = [_look(plane, mask) for mask, _ in sights]
    shapes = [_shape(mask) for mask, _ in sights]
    values = np.concatenate(
        (
            network,
            np.array(looks, np.float32),
            np.array(shapes, np.float32),
        ),
        axis=1,
    )
    widths = (network.shape[1], len(looks[0]), len(shapes[0]))
    shares = (_NETWORK_SHARE, _LOOK_SHARE, _SHAPE_SHARE)
    weights = np.concatenate(
        [np.full(n, share / n) for n, share in zip(widths, shares, strict=True)]
    )
    return Description(values.astype(np.float32), weights.astype(np.float32))


def thumbnail(plane: PlaneSource, mask: CroppedMask) -> NDArray[np.uint8]:
    """A picture ``(48, 48, 3)`` of an object, with a little of what is around it."""
    y0, y1, x0, x1 = _surroundings(mask, 0.25)
    pixels = plane.read(y0, y1, x0, x1)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    side = max(pixels.shape[:2])
    square = np.zeros((side, side, 3), np.uint8)
    square[: pixels.shape[0], : pixels.shape[1]] = pixels
    small = F.interpolate(
        torch.from_numpy(square).permute(2, 0, 1)[None].float(),
        size=(_THUMBNAIL, _THUMBNAIL),
        mode="bilinear",
        antialias=True,
    )
    picture: NDArray[np.uint8] = (
        small[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()
    )
    return picture


def _surroundings(mask: CroppedMask, margin: float) -> tuple[int, int, int, int]:
    """``y0, y1, x0, x1`` of an object's box, larger by a share of its longer side."""
    x0, y0, x1, y1 = box = mask.box or Box(0, 0, 1, 1)
    more = max(2, round(margin * box.side))
    height, width = mask.plane_shape
    return (
        max(y0 - more, 0),
        min(y1 + more, height),
        max(x0 - more, 0),
        min(x1 + more, width),
    )


def _look(plane: PlaneSource, mask: CroppedMask) -> list[float]:
    """Colour, brightness against the surroundings, and texture, in grey values / 255."""
    y0, y1, x0, x1 = _surroundings(mask, 0.1)
    pixels = plane.read(y0, y1, x0, x1).astype(np.float32) / 255
    colours = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
    grey = colours.mean(axis=2)
    ys, xs = mask.indices()
    inside = np.zeros(grey.shape, bool)
    inside[ys - y0, xs - x0] = True
    rim = ndimage.binary_dilation(inside, iterations=2) & ~inside
    own = grey[inside]
    around = float(grey[rim].mean()) if rim.any() else float(own.mean())
    core = ndimage.binary_erosion(inside)
    rough = np.abs(grey - ndimage.uniform_filter(grey, 3))[core if core.any() else inside]
    return [
        *(float(value) for value in colours[inside].mean(axis=0)),
        float(own.std()),
        float(own.mean()) - around,
        float(rough.mean()),
    ]


def _shape(mask: CroppedMask) -> list[float]:
    """Logarithm of the area, elongation, and how well an ellipse fits."""
    ys, xs = mask.indices()
    area = len(ys)
    # a pixel has an extent of its own: 1/12 is the variance of a unit square
    cov = np.cov(np.stack((ys, xs))) if area > 1 else np.zeros((2, 2))
    minor, major = np.linalg.eigvalsh(cov + np.eye(2) / 12)
    return [
        float(np.log(area)),
        float(np.log(major / minor)) / 2,
        float(area / (4 * np.pi * np.sqrt(major * minor))),
    ]


def mutual_logits(
    model: Model,
    plane: PlaneSource,
    sights: Sequence[Sight],
    size: float,
    memories: Sequence[NDArray[np.float16] | None],
) -> list[float]:
    """How well each object is recognised from the others; a single one from itself."""
    found = []
    for row, item in enumerate(sights):
        others = [m for at, m in enumerate(memories) if at != row or len(sights) == 1]
        known = [memory for memory in others if memory is not None]
        logit = model.recognise(plane, [item], size, known)[0] if known else 0.0
        found.append(float(logit))
    return found
