"""The errors that the core raises; each message is a sentence that a user can act on."""

from __future__ import annotations

__all__ = [
    "CellpromptError",
    "CheckpointError",
    "DownloadError",
    "ImageError",
    "OutOfMemoryError",
    "PromptError",
    "SaveError",
]


class CellpromptError(Exception):
    """Base of every error that this package raises on purpose."""


class PromptError(CellpromptError, ValueError):
    """Points, boxes, labels or masks that do not fit together or the image."""


class ImageError(CellpromptError, ValueError):
    """An image (or a file of one) that cannot be used as it is."""


class CheckpointError(CellpromptError, ValueError):
    """A file of weights that is damaged, unsafe or of no known layout."""


class DownloadError(CellpromptError, OSError):
    """Weights that could not be fetched or did not match their hash."""


class SaveError(CellpromptError, OSError):
    """A file that could not be written; what was there before is untouched."""


class OutOfMemoryError(CellpromptError, MemoryError):
    """Not enough memory on the device for what was asked."""
