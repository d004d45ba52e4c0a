"""The buttons and texts of the Segment widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_cellprompt.widgets.shared.looks import grid_of, push_button, rule, text_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .controller import SegmentController

__all__ = ["ActionPanel"]

# Name, text, tool tip, and whether the button shows a state.
_BUTTONS = (
    ("click", "Clicks (G)", "Click on objects", True),
    ("box", "Boxes (G)", "Draw boxes around objects, close to their outlines", True),
    ("sign", "", "What the next click marks", False),
    (
        "each",
        "",
        "Whether each click on an object is an object of its own, or all clicks are one",
        True,
    ),
    ("outline", "Outline (O)", "Show the mask as an outline, or filled", True),
    ("accept", "Accept (A)", "Write this object and start the next one", False),
    ("next", "Next mask (N)", "Show the next of the masks that the model offers", False),
    ("discard", "Discard (Q)", "Delete the clicks and the boxes of this plane", False),
    ("undo", "Undo", "Take back what was done last (Ctrl+Z)", False),
    ("redo", "Redo", "Do again what was taken back (Ctrl+Shift+Z)", False),
    ("fill", "Fill between (V)", "Fill the object in, between its planes", False),
    ("view", "What model sees", "Show exactly the pixels that the model gets", True),
    ("propagate", "Propagate ...", "Follow objects through the stack", False),
    ("adapt", "Adapt model ...", "Train a copy of the model on these objects", False),
    ("export", "Export ...", "Save the objects: TIFF, OME-Zarr, COCO, ROIs, ...", False),
)
_TOOLS = ("click", "box", "sign", "each")
_OBJECT = ("next", "discard", "undo", "redo")
_FURTHER = ("outline", "view", "fill", "propagate", "adapt", "export")


class ActionPanel(QWidget):
    """Buttons for the actions, and lines that say how things stand.

    Parameters
    ----------
    actions : mapping
        A function without arguments for the name of each button.
    """

    def __init__(self, actions: Mapping[str, Callable[[], None]]) -> None:
        super().__init__()
        self.buttons: dict[str, QPushButton] = {}
        for name, text, tip, has_state in _BUTTONS:
            self.buttons[name] = push_button(text, tip, actions[name])
            self.buttons[name].setCheckable(has_state)
        self.status_line, self.mask_line, self.model_line = map(text_line, (2, 2, 0))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(self._grid(_TOOLS))
        layout.addWidget(self.status_line)
        layout.addWidget(self.mask_line)
        layout.addWidget(self.buttons["accept"])
        layout.addLayout(self._grid(_OBJECT))
        layout.addWidget(rule())
        layout.addLayout(self._grid(_FURTHER))
        layout.addWidget(self.model_line)

    def _grid(self, names: tuple[str, ...]) -> QGridLayout:
        return grid_of([self.buttons[name] for name in names])

    def show_state(
        self,
        controller: SegmentController,
        *,
        clicking: bool,
        boxing: bool,
        positive: bool,
        filling: bool = False,
        one_per_point: bool = False,
        note: str = "",
    ) -> None:
        """Bring everything up to date; ``note`` stands behind the model's name."""
        self.buttons["click"].setChecked(clicking)
        self.buttons["box"].setChecked(boxing)
        self.buttons["view"].setChecked(controller.model_view.layer is not None)
        self.buttons["outline"].setChecked(controller.preview.contour > 0)
        self.buttons["sign"].setText(f"Mark {'object' if positive else 'background'} (T)")
        self.buttons["each"].setChecked(one_per_point)
        self.buttons["each"].setText(
            "One per point (U)" if one_per_point else "One object (U)"
        )
        self._enable(controller, filling)
        for line, text in (
            (self.status_line, controller.status),
            (self.mask_line, _mask_text(controller)),
            (self.model_line, _model_text(controller, note)),
        ):
            if line.text() != text:
                line.setText(text)

    def _enable(self, controller: SegmentController, filling: bool) -> None:
        """Switch off what could only be answered by a complaint."""
        there = controller.place.chosen.image is not None
        masks = there and not controller.held and controller.prediction is not None
        possible = dict.fromkeys(self.buttons, there)
        acceptable = any(one.mask.box is not None for _, one in controller.proposals.shown)
        possible["accept"] = (
            (masks and acceptable) or filling or (there and controller.waiting)
        )
        possible["next"] = masks
        possible["discard"] = there and not controller.held
        possible["fill"] = there and not controller.held and not filling
        possible["outline"] = True
        for name in ("export", "undo", "redo"):
            possible[name] = there or controller.place.chosen.labels is not None
        for name, button in self.buttons.items():
            button.setEnabled(possible[name])


def _mask_text(controller: SegmentController) -> str:
    candidate, prediction = controller.candidate, controller.prediction
    if candidate is None or prediction is None or not candidate.mask.area:
        return ""
    return (
        f"Mask {controller.candidate_number + 1} of {len(prediction.candidates)}: "
        f"{candidate.mask.area} pixels, predicted IoU {candidate.score:.2f}, "
        f"{prediction.seconds * 1000:.0f} ms"
    )


def _model_text(controller: SegmentController, note: str) -> str:
    model = controller.model
    if model is None:
        return "No model is loaded"
    return f"{model.name} on {model.device}" + (f"; it {note}" if note else "")
