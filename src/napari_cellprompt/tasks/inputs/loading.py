"""From the name of a model to one that answers prompts: the only way there.

Everything that runs a model loads it here, so that a name means the same model for the
command line, a script and the window, and one that somebody uses is not loaded again.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.core.zoo.torch_import import collector_at_rest, load_torch

if TYPE_CHECKING:
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter

__all__ = ["load_segmenter"]


@dataclass(frozen=True, slots=True)
class _Key:
    """A file as it is now, and where its model runs."""

    path: str
    nbytes: int
    changed: int
    image_size: int | None
    device: str


_in_use: weakref.WeakValueDictionary[_Key, PlaneSegmenter] = weakref.WeakValueDictionary()
# a script calls functions one after the other and holds no model between them
_last: deque[PlaneSegmenter] = deque(maxlen=2)
_lock = threading.Lock()


def load_segmenter(
    model: str | Path,
    device: str | None = None,
    *,
    cache_bytes: int | None = None,
    disk_bytes: int = 0,
    keep: bool = False,
) -> PlaneSegmenter:
    """Load a model, or take the one that is loaded already.

    Parameters
    ----------
    model
        Name of a model or path of a checkpoint, see :func:`load_model`.
    device
        ``"cpu"``, ``"cuda"`` or ``"mps"``; None and ``"auto"``: the best there is.
    cache_bytes
        Budget for the features of visited tiles, of a model that is loaded now; default
        that of :class:`PlaneSegmenter`.
    disk_bytes
        Budget for features in files, which outlive the process; 0 for none.
    keep
        Hold the model, and the one before, until others are kept.

    Raises
    ------
    CheckpointError, DownloadError
        Where there are no such weights, or they cannot be used.
    ValueError
        Where there is no such device.
    """
    with _lock:
        # not at the top: the session and the command line load this module
        load_torch()
        with collector_at_rest():
            import napari_cellprompt.core.segment.segmenter  # noqa: F401
            from napari_cellprompt.core.zoo.load import choose_device

        chosen = choose_device(device)
        key = _key(model, str(chosen))
        segmenter = None if key is None else _in_use.get(key)
        if segmenter is None:
            segmenter = _load(model, str(chosen), cache_bytes, disk_bytes)
            if key is not None:
                _in_use[key] = segmenter
        if keep and segmenter not in _last:
            _last.append(segmenter)
        return segmenter


def _key(model: str | Path, device: str) -> _Key | None:
    """None for a file that cannot be looked at: loading says what is wrong with it."""
    from napari_cellprompt.core.zoo.places import find_weights

    with find_weights(model) as place:
        try:
            state = place.path.stat()
        except OSError:
            return None
        size = None if place.mine is None else place.mine.image_size
        path = str(place.path.resolve())
        return _Key(path, state.st_size, state.st_mtime_ns, size, device)


def _load(
    model: str | Path, device: str, cache_bytes: int | None, disk_bytes: int
) -> PlaneSegmenter:
    from napari_cellprompt.core.inference.cache import FeatureCache
    from napari_cellprompt.core.inference.sam.encoding.feature_files import FeatureFiles
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.core.zoo.folder import features_folder
    from napari_cellprompt.core.zoo.load import load_model

    return PlaneSegmenter(
        load_model(model, device=device),
        cache=None if cache_bytes is None else FeatureCache(cache_bytes),
        files=FeatureFiles(features_folder(), disk_bytes) if disk_bytes else None,
    )
