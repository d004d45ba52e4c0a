"""The choices of the Propagate widget: which objects, along which axis, how far."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from magicgui.widgets import ComboBox, FloatSpinBox, LineEdit, SpinBox
from qtpy.QtWidgets import QWidget

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.layers.stacks import stack_axes
from napari_cellprompt.widgets.segment.choices.form import fill_rows

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget
    from napari.layers import Image

    from napari_cellprompt.core.propagate.types import Direction, PropagationSettings
    from napari_cellprompt.layers.coordinates import PlaneView
    from napari_cellprompt.layers.stacks import StackAxis

__all__ = ["Choices", "PropagateForm", "What", "parse_ids"]

What = Literal["screen", "last", "plane", "ids"]
_WHAT: tuple[tuple[str, What], ...] = (
    ("the object on screen", "screen"),
    ("the last accepted object", "last"),
    ("all accepted objects here", "plane"),
    ("accepted objects by number", "ids"),
)
_DIRECTIONS = (("both ways", "both"), ("forward", "forward"), ("backward", "backward"))
_RANGES = (("the whole stack", "all"), ("up to here", "here"), ("from ... to ...", "from"))
_GEOMETRIES = (
    ("by object size", "auto"),
    ("around the object", "roi"),
    ("whole plane", "field"),
)
# How many memories are attended to, and whether older ones are kept at half resolution.
_MEMORIES = {"best": (7, False), "faster": (4, True), "fastest": (2, True)}


@dataclass(frozen=True, slots=True)
class Choices:
    """What the controls say."""

    what: What
    ids: str
    axis: StackAxis | None
    direction: Direction
    span: Literal["all", "here", "from"]
    first: int
    last: int


class PropagateForm:
    """The controls, without what they lead to."""

    def __init__(self) -> None:
        self._axes: list[StackAxis] = []
        self.what = ComboBox(
            label="Follow",
            choices=_WHAT,
            tooltip="The mask that Segment shows, or objects of its Labels layer as they "
            "are on this plane",
        )
        self.ids = LineEdit(
            label="Numbers", tooltip="Ids of objects on this plane, such as 1, 4-7"
        )
        self.axis = ComboBox(
            label="Along",
            choices=self._axis_choices,
            tooltip="The axis through which objects are followed",
        )
        self.direction = ComboBox(
            label="Direction", choices=_DIRECTIONS, tooltip="From the plane of the object"
        )
        self.span = ComboBox(
            label="Range", choices=_RANGES, tooltip="'Here' is the plane on screen"
        )
        self.first = SpinBox(label="From", min=0, max=0, tooltip="First plane, from 0")
        self.last = SpinBox(label="To", min=0, max=0, tooltip="Last plane, included")
        self.geometry = ComboBox(
            label="Look at",
            choices=_GEOMETRIES,
            tooltip="A tile that moves along with the object, or the whole plane shrunk "
            "to the size of the model's input",
        )
        self.memory = ComboBox(
            label="Memory",
            choices=list(_MEMORIES),
            tooltip="Fewer planes that are remembered cost less time and memory, and "
            "some accuracy",
        )
        self.motion = ComboBox(
            label="Movement",
            choices=[("follow it", True), ("stay in place", False)],
            tooltip="In movies, compare grey values to find where each object has gone, or "
            "look for it where it was; never along z",
        )
        self.object_score = _share(
            "Gone below",
            0.5,
            "An object has ended where the model's probability of its presence is "
            "lower than this",
        )
        self.area_ratio = _share(
            "Smallest size",
            0.1,
            "An object has ended where it is smaller than this share of its usual area",
        )
        self.overlap = _share(
            "Least overlap",
            0.1,
            "An object has ended where it overlaps the plane before by less than this, "
            "since it has then jumped to a neighbour; 0 switches this off",
        )
        self.contrast = _share(
            "Least contrast",
            0.25,
            "An object has faded where it stands out from its surroundings by less than "
            "this share of what it did on its prompted plane; 0 switches this off",
        )
        self.regrowth = FloatSpinBox(
            label="Most regrowth",
            value=1.2,
            min=0.0,
            max=10.0,
            step=0.1,
            tooltip="In z-stacks, an object that had shrunk or faded, and then grows or "
            "stands out again beyond this times the least, is the next one; 0 switches "
            "this off",
        )
        self.patience = SpinBox(
            label="Patience",
            value=0,
            min=0,
            max=99,
            tooltip="Planes in a row without the object before it is given up; 0: 3 in "
            "movies, 1 along z",
        )
        self.top = QWidget()
        self._rows = fill_rows(
            self.top,
            *(self.what, self.ids, self.axis, self.direction),
            *(self.span, self.first, self.last),
        )
        self.more = QWidget()
        fill_rows(
            self.more,
            *(self.geometry, self.memory, self.motion, self.object_score),
            *(self.area_ratio, self.overlap, self.contrast, self.regrowth, self.patience),
        )
        self.what.changed.connect(self._show_needed)
        self.span.changed.connect(self._show_needed)
        self._show_needed()

    def offer(self, image: Image | None, view: PlaneView | None) -> None:
        """Offer the axes of an image; the choice stays where it still exists."""
        axes = [] if image is None or view is None else stack_axes(image, view)
        if axes == self._axes:
            return
        before = self.axis.value
        self._axes = axes
        with self.axis.changed.blocked():
            self.axis.reset_choices()
            if before in axes:
                self.axis.value = before
        self.axis_changed()

    def axis_changed(self, _: Any = None) -> None:
        """Fit the range to the length of the axis."""
        last = (self.axis.value.length if self.axis.value is not None else 1) - 1
        for box in (self.first, self.last):
            box.max = last
        self.first.value, self.last.value = 0, last

    @property
    def choices(self) -> Choices:
        """What is chosen now."""
        return Choices(
            self.what.value,
            self.ids.value,
            self.axis.value,
            self.direction.value,
            self.span.value,
            self.first.value,
            self.last.value,
        )

    @property
    def settings(self) -> PropagationSettings:
        """How objects are to be followed."""
        # Here, since this loads torch.
        from napari_cellprompt.core.propagate.types import PropagationSettings

        settings = PropagationSettings(
            geometry=self.geometry.value,
            motion=self.motion.value,
            stop_object_score=self.object_score.value,
            stop_area_ratio=self.area_ratio.value,
            stop_overlap=self.overlap.value,
            stop_contrast=self.contrast.value,
            stop_regrowth=self._regrowth,
            stop_patience=self.patience.value or None,
        )
        memories, pooled = _MEMORIES[self.memory.value]
        track = replace(settings.track, max_memories=memories, pool_older=pooled)
        return replace(settings, track=track)

    @property
    def _regrowth(self) -> float:
        # between 0 and 1 an object could not even stay as it is
        value = float(self.regrowth.value)
        return value if value >= 1 else 0.0

    def close(self) -> None:
        """Forget all listeners."""
        for box in (self.what, self.span, self.axis):
            box.changed.disconnect()

    def _axis_choices(self, _: Any) -> list[tuple[str, StackAxis]]:
        return [
            (f"{axis.name} ({axis.length} {axis.plane_word}s)", axis) for axis in self._axes
        ]

    def _show_needed(self, _: Any = None) -> None:
        """Hide what the other choices make useless."""
        self._show(self.ids, self.what.value == "ids")
        for box in (self.first, self.last):
            self._show(box, self.span.value == "from")

    def _show(self, box: ValueWidget[Any], visible: bool) -> None:
        box.native.setVisible(visible)
        label = self._rows.labelForField(box.native)
        if label is not None:
            label.setVisible(visible)


def parse_ids(text: str) -> list[int]:
    """Ids from a text such as ``1, 4-7``, each once, in order.

    Raises
    ------
    PromptError
        When the text says something else.
    """
    found: set[int] = set()
    for part in re.split(r"[,;\s]+", re.sub(r"\s*-\s*", "-", text.strip())):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None:
            raise PromptError(f"Give the numbers of objects such as 1, 4-7: got {text!r}.")
        first = int(match[1])
        last = int(match[2] or first)
        if not 0 < first <= last or last - first > 100_000:
            raise PromptError(f"{part} does not name objects: numbers start at 1.")
        found.update(range(first, last + 1))
    return sorted(found)


def _share(label: str, value: float, tooltip: str) -> FloatSpinBox:
    return FloatSpinBox(
        label=label, value=value, min=0.0, max=1.0, step=0.05, tooltip=tooltip
    )
