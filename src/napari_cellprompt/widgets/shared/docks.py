"""The widgets of this plugin that are open in one window, by the titles of the manifest.

Widgets open one another by title, so that none has to import another one's module.
"""

from __future__ import annotations

import weakref
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent

from napari_cellprompt.layers.ownership import plain

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtWidgets import QWidget

__all__ = [
    "WIDGETS",
    "find_dock",
    "has_left_dock",
    "open_beside",
    "open_dock",
    "shut_down_with_window",
]

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


def open_beside(viewer: napari.viewer.Viewer, title: str) -> Any:
    """The widget of a title, left where it is; docked where there is none.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        In whose window.
    title : str
        A key of ``WIDGETS``.
    """
    return find_dock(viewer, title) or open_dock(viewer, title)


def has_left_dock(widget: QWidget, event: QEvent | None) -> bool:
    """Whether an event that a widget gets says that napari took it out of its dock.

    napari tells a widget nothing of that; its parent goes, and the widget may live on
    for long, with its keys, layers and threads.
    """
    if event is None or event.type() != QEvent.Type.ParentChange:
        return False
    return widget.parent() is None


def shut_down_with_window(widget: Any, **how: Any) -> None:
    """Have a widget shut down when Qt destroys it, as it does with a whole window.

    Parameters
    ----------
    widget : QWidget
        With a method ``shut_down`` that may be called more than once. It is not kept
        alive by this.
    **how
        Arguments of ``shut_down``.
    """
    widget.destroyed.connect(partial(_destroyed, weakref.ref(widget), how))


def _destroyed(reference: weakref.ref[Any], how: dict[str, Any], _: Any = None) -> None:
    widget = reference()
    if widget is not None:
        widget.shut_down(**how)
