"""The widgets of this plugin that are open in one window."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["find_dock", "open_dock"]

Docked = TypeVar("Docked", bound=QWidget)


def find_dock(viewer: napari.viewer.Viewer, kind: type[Docked]) -> Docked | None:
    """The widget of a kind in the viewer's window; None when there is none."""
    docked = viewer.window.dock_widgets
    for name in list(docked):
        widget = docked[name]
        if isinstance(widget, kind):
            return widget
    return None


def open_dock(viewer: napari.viewer.Viewer, kind: type[Docked], title: str) -> Docked:
    """Bring a widget to the front, after docking a new one where there is none.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        In whose window.
    kind : type
        Called with the viewer.
    title : str
        As the manifest has it; napari's menu then finds the widget.
    """
    widget = find_dock(viewer, kind)
    if widget is None:
        widget = kind(viewer)
        viewer.window.add_dock_widget(
            widget, name=f"{title} (Cellprompt)", area="right", tabify=True
        )
    dock = widget.parentWidget()
    if dock is not None:
        dock.show()
        dock.raise_()
    return widget
