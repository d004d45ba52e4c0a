"""What the image encoder knows of parts of planes; kept, since it is slow to compute."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch

from napari_cellprompt.core.images.tiles import read_tile
from napari_cellprompt.core.inference.cache import FeatureCache
from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.inference.fingerprint import model_fingerprint
from napari_cellprompt.core.inference.out_of_memory import (
    free_memory,
    is_out_of_memory,
    out_of_memory,
)
from napari_cellprompt.core.inference.precision import Precision, precision_of
from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures
from napari_cellprompt.core.types import Tile

from .preprocess import normalise

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.zoo.load import LoadedModel

    from .feature_files import FeatureFiles

__all__ = ["DEFAULT_CACHE_BYTES", "PlaneEncoder", "View"]

DEFAULT_CACHE_BYTES = 512 * 1024**2


class View(Protocol):
    """Another part of a plane than a tile; hashable, since it names cached features."""

    def __hash__(self) -> int: ...

    def read(self, plane: PlaneSource, imgsz: int) -> NDArray[np.uint8]:
        """What the network sees, ``(imgsz, imgsz, 3)`` uint8."""


class PlaneEncoder:
    """Encodes tiles and other views of planes.

    Parameters
    ----------
    loaded
        The network.
    cache
        Where features are kept; default one of 512 MB. May be shared: the model is part
        of the key.
    precision
        What the image encoder computes in; default what suits the device. Features are
        float32 in any case.
    files
        Where features are looked for that are not in ``cache``, and kept beyond the end
        of the process; default nowhere.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        cache: FeatureCache[ImageFeatures] | None = None,
        precision: Precision | None = None,
        files: FeatureFiles | None = None,
    ) -> None:
        self.loaded = loaded
        self.files = files
        self.precision = precision_of(loaded.device) if precision is None else precision
        self.cache: FeatureCache[ImageFeatures] = (
            FeatureCache(DEFAULT_CACHE_BYTES) if cache is None else cache
        )

    @property
    def image_size(self) -> int:
        """Side of the network's square input in pixels."""
        return self.loaded.sam.image_size

    @torch.inference_mode()
    def features(
        self,
        plane: PlaneSource,
        view: Tile | View,
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> ImageFeatures:
        """Features of a part of a plane, from the cache or computed.

        Without the no-memory code (``network.without_memory`` adds it), so that clicks
        and propagation share what was computed.

        Parameters
        ----------
        plane
            What to look at.
        view
            The part of it that the network sees.
        cancelled
            Asked before the encoder runs.

        Raises
        ------
        concurrent.futures.CancelledError
            Where ``cancelled`` said so.
        """
        key = (plane.key, view, str(self.loaded.source), self.image_size)
        found = self.cache.get(key)
        if found is None:
            stop_if(cancelled)
            if isinstance(view, Tile):
                pixels = read_tile(plane, view, self.image_size)
            else:
                pixels = view.read(plane, self.image_size)
            found = self._filed(pixels)
            self.cache.put(key, found, found.nbytes)
        return found

    def _filed(self, pixels: NDArray[np.uint8]) -> ImageFeatures:
        """Features of ``(S, S, 3)``, read from a file where there is one."""
        if self.files is None:
            return self._encode(pixels)
        name = self.files.name(pixels, self._network_name)
        found = self.files.get(name)
        if found is None:
            found = self._encode(pixels)
            self.files.put(name, found)
            return found
        device = self.loaded.device
        levels = tuple(level.to(device) for level in found.high_res)
        return ImageFeatures(found.embed.to(device), levels)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weights and of how prompts are taken."""
        return model_fingerprint(self.loaded)

    @property
    def _network_name(self) -> str:
        """Identity of the weights and of what they compute in."""
        return f"{self.fingerprint} {self.precision.dtype}"

    def _encode(self, pixels: NDArray[np.uint8]) -> ImageFeatures:
        """Features of ``(S, S, 3)`` in float32; room is made where there is none."""

        def encode() -> ImageFeatures:
            device = self.loaded.device
            x = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float() / 255
            x = normalise(x).contiguous(memory_format=torch.channels_last)
            dtype = getattr(torch, self.precision.dtype)
            narrow = dtype != torch.float32
            with torch.autocast(device.type, dtype if narrow else None, enabled=narrow):
                found = self.loaded.sam.frame_features(x)
            return ImageFeatures(
                found.embed.float(), tuple(level.float() for level in found.high_res)
            )

        try:
            return encode()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # beyond that block, so that the error lets go of the tensors it saw
        self.cache.clear()
        free_memory()
        try:
            return encode()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory() from error
