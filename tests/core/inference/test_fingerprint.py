from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from napari_cellprompt.core.inference.fingerprint import model_fingerprint
from napari_cellprompt.core.zoo.load import load_model


@dataclass(frozen=True, slots=True)
class Renamed:
    """The same values under another class, in another order."""

    carry: bool
    sigma: float
    amplitude: float


@pytest.fixture(scope="module")
def model():
    return load_model("cellprompt-nano", device="cpu")


def changed(model, **values):
    drawing = replace(model.spec.drawing, **values)
    return replace(model, spec=replace(model.spec, drawing=drawing))


def test_a_renamed_class_keeps_its_fingerprint(model):
    drawing = model.spec.drawing
    renamed = Renamed(drawing.carry, drawing.sigma, drawing.amplitude)
    other = replace(model, spec=replace(model.spec, drawing=renamed))
    assert model_fingerprint(other) == model_fingerprint(model)


@pytest.mark.parametrize(
    "values", [{"amplitude": 1.5}, {"sigma": 9.0}, {"carry": False}], ids=str
)
def test_another_way_to_take_prompts_is_another_model(model, values):
    assert model_fingerprint(changed(model, **values)) != model_fingerprint(
        changed(model, carry=True)
    )


def test_no_drawing_is_another_model(model):
    plain = replace(model, spec=replace(model.spec, drawing=None))
    assert model_fingerprint(plain) != model_fingerprint(model)


def test_other_weights_are_another_model(model):
    before = model_fingerprint(model)
    first = next(iter(model.network.parameters()))
    value = first.data.flatten()[0].item()
    try:
        first.data.flatten()[0] = value + 1
        assert model_fingerprint(model) != before
    finally:
        first.data.flatten()[0] = value
    assert model_fingerprint(model) == before
