"""Features of the image encoder on the disk: found again after a restart."""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import TYPE_CHECKING

import xxhash
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import SaveError
from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FeatureFiles"]

_ENDING = ".features"
_SPARE = 0.9
"""To this share of the budget old files are removed, so that not each new one asks."""


class FeatureFiles:
    """Keeps features in files, those used last, within a budget of bytes.

    A file is named by what the network saw, pixel by pixel after contrast and scaling,
    and by the network: another image, other contrast limits or other weights never find
    it. Several processes may share a folder. A file that is damaged is as one that is
    not there, and a disk that is full is said once and then left alone.

    Parameters
    ----------
    folder
        Made when it is first written to.
    budget_bytes
        What all files together may take.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self._folder = folder
        self._budget = int(budget_bytes)
        self._nbytes: int | None = None
        self._works = True

    def name(self, pixels: NDArray[np.uint8], network: str) -> str:
        """What the features of these pixels are kept under.

        Parameters
        ----------
        pixels
            ``(S, S, 3)``, as the network sees them.
        network
            Identity of its weights and of what it computes in.
        """
        digest = xxhash.xxh3_128(f"{network} {pixels.shape}".encode())
        digest.update(pixels.tobytes())
        return digest.hexdigest()

    def get(self, name: str) -> ImageFeatures | None:
        """Read features, on the CPU; None where there are none."""
        path = self._path(name)
        try:
            tensors = load_file(path)
            embed = tensors.pop("embed")
            levels = tuple(tensors[f"level{n}"] for n in range(len(tensors)))
            # the time of its last use decides which file is removed first
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        return ImageFeatures(embed, levels)

    def put(self, name: str, features: ImageFeatures) -> None:
        """Write features, and remove the oldest files where that is too much."""
        if not self._works or features.nbytes > self._budget:
            return
        levels = {f"level{n}": level for n, level in enumerate(features.high_res)}
        tensors = {"embed": features.embed, **levels}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._path(name)) as temporary:
                save_file({k: v.cpu().contiguous() for k, v in tensors.items()}, temporary)
        except (SaveError, OSError, SafetensorError) as error:
            self._works = False
            warnings.warn(
                f"Features are no longer kept on the disk. {error}",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        if self._nbytes is not None:
            self._nbytes += self._path(name).stat().st_size
        if self._nbytes is None or self._nbytes > self._budget:
            self._make_room()

    def _make_room(self) -> None:
        """Count what is there; remove what was not used for longest."""
        files = []
        for path in self._folder.glob(f"*{_ENDING}"):
            # another process may remove it meanwhile
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                files.append((found.st_mtime, found.st_size, path))
        total = sum(size for _, size, _ in files)
        if total > self._budget:
            for _, size, path in sorted(files):
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                total -= size
                if total <= self._budget * _SPARE:
                    break
        self._nbytes = total

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_ENDING}"
