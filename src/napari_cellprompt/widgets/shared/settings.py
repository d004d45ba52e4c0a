"""The user's settings, from napari's preferences."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings", "read_settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults of the widget; names and values as in the manifest."""

    model: str = ""
    """Empty: the one used last."""
    device: str = "auto"
    cache_bytes: int = 1024 * 10**6
    disk_bytes: int = 0
    contrast: str = "layer limits"
    percentiles: tuple[float, float] = (0.1, 99.9)
    overlap: str = "keep"
    beside: bool = True
    """Whether sessions lie beside their images."""


def read_settings() -> Settings:
    """What the user has set under Preferences, defaults where napari knows nothing."""
    from napari.settings import get_plugin_settings

    try:
        found = get_plugin_settings("napari-cellprompt")
    except KeyError:
        # The package is used without being registered as a plugin.
        return Settings()
    return Settings(
        model=str(found.model.name),
        device=str(found.model.device),
        cache_bytes=int(found.model.cache_megabytes) * 10**6,
        disk_bytes=int(found.model.disk_megabytes) * 10**6,
        contrast=str(found.image.contrast),
        percentiles=(float(found.image.low_percentile), float(found.image.high_percentile)),
        overlap=str(found.accept.overlap),
        beside=bool(found.sessions.beside),
    )
