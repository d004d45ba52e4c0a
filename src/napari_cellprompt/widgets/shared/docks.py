"""The widgets of this plugin that are open in one window, by the titles of the manifest.

Widgets open one another by title, so that none has to import another one's module.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_cellprompt.layers.ownership import plain

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["WIDGETS", "find_dock", "open_dock"]

_WIDGETS = "napari_cellprompt.widgets"

WIDGETS = {
    "Segment": f"{_WIDGETS}.segment.widget:SegmentWidget",
    "Propagate": f"{_WIDGETS}.propagate.widget:PropagateWidget",
    "Everything": f"{_WIDGETS}.everything.widget:EverythingWidget",
    "Few-shot": f"{_WIDGETS}.fewshot.widget:FewshotWidget",
    "Objects": f"{_WIDGETS}.objects.widget:ObjectsWidget",
    "Adapt": f"{_WIDGETS}.adapt.widget:AdaptWidget",
    "Series": f"{_WIDGETS}.series:SeriesWidget",
    "Models": f"{_WIDGETS}.models:ModelsWidget",
}
"""Module and class by the title that the manifest has."""


def find_dock(viewer: napari.viewer.Viewer, title: str) -> Any:
    """The widget of a title in the viewer's window; None when there is none.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        In whose window. napari wraps what it hands to plugins, and with it every widget
        that is found there; the widget comes without the wrapping, since signals of Qt
        and psygnal do not work through it.
    title : str
        A key of ``WIDGETS``.
    """
    docked = viewer.window.dock_widgets
    for name in list(docked):
        widget = plain(docked[name])
        if f"{type(widget).__module__}:{type(widget).__qualname__}" == WIDGETS[title]:
            return widget
    return None


def open_dock(viewer: napari.viewer.Viewer, title: str) -> Any:
    """Bring a widget to the front, after docking a new one where there is none.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        In whose window.
    title : str
        A key of ``WIDGETS``; napari's menu then finds the widget.
    """
    widget = find_dock(viewer, title)
    if widget is None:
        module, _, name = WIDGETS[title].partition(":")
        widget = getattr(import_module(module), name)(viewer)
        viewer.window.add_dock_widget(
            widget, name=f"{title} (Cellprompt)", area="right", tabify=True
        )
    dock = widget.parentWidget()
    if dock is not None:
        dock.show()
        dock.raise_()
    return widget
