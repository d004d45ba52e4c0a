"""The ablation on a made-up engine, and its table against the package."""

from __future__ import annotations

import importlib
import json
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from tests.random_focus import bright_focus  # noqa: E402

from ablate import Bench, Row, ablate, neutral, piece, printed  # noqa: E402
from constants import CONSTANTS, Constant, constants_of, without_trait  # noqa: E402
from napari_cellprompt.core.zoo.registry import get_spec  # noqa: E402


@dataclass(frozen=True, slots=True)
class Settings:
    helps: float = 1.0
    idle: float = 2.0
    nested: list[int] = field(default_factory=list)


@pytest.fixture
def engine(monkeypatch):
    """A module of the package with settings, a constant, and a second that imported it."""
    module = types.ModuleType("napari_cellprompt.made_up")
    module.Settings = Settings
    module.PUBLIC = 0.25
    other = types.ModuleType("napari_cellprompt.made_up_user")
    other.PUBLIC = module.PUBLIC
    other.UNRELATED = 0.25
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, other.__name__, other)
    return module, other


def constant(name: str, value: float, *parts: str) -> Constant:
    return Constant(f"made_up:{name}", value, "made up", parts or ("quality",))


def test_it_says_what_each_constant_buys_and_puts_it_back(engine) -> None:
    module, other = engine

    def measure(part: str, changed: Constant | None) -> list[float]:
        base = [0.5, 0.6, 0.7]
        return [value + 0.1 * Settings().helps - 0.2 * other.PUBLIC for value in base]

    told: list[int] = []
    rows = ablate(
        [
            constant("Settings.helps", 0.0),
            constant("Settings.idle", 0.0),
            constant("PUBLIC", 0.0, "propagation"),
        ],
        ["quality", "propagation"],
        measure,
        told=lambda rows: told.append(len(rows)),
    )
    assert [row.name.split(":")[1] for row in rows] == [
        "Settings.helps",
        "Settings.idle",
        "PUBLIC",
    ]
    assert [row.buys for row in rows] == pytest.approx([0.1, 0.0, -0.05])
    assert [row.verdict for row in rows] == ["helps", "same", "harms"]
    assert told == [1, 2, 3]
    assert Settings() == Settings(1.0, 2.0, [])
    assert (module.PUBLIC, other.PUBLIC, other.UNRELATED) == (0.25, 0.25, 0.25)
    assert "helps: made up" in printed(rows)


def test_a_constant_comes_back_after_an_error(engine) -> None:
    with (
        pytest.raises(RuntimeError, match="stopped"),
        neutral(constant("Settings.helps", 9.0)),
    ):
        assert Settings().helps == 9.0
        raise RuntimeError("stopped")
    assert Settings().helps == 1.0


def test_what_an_earlier_run_has_measured_is_kept(engine) -> None:
    def refuse(part: str, changed: Constant | None) -> list[float]:
        raise AssertionError("measured again")

    row = Row("made_up:PUBLIC", "quality", "0", "made up", 1, 0.5, 0.5, 0.0, 0.0, 1.0)
    assert ablate([constant("PUBLIC", 0.0)], ["quality"], refuse, known=[row]) == [row]


def test_after_its_time_it_begins_no_other_constant(engine) -> None:
    rows = ablate(
        [constant("PUBLIC", 0.0)], ["quality"], lambda part, changed: [1.0], seconds=-1.0
    )
    assert rows == []


def test_a_small_difference_between_few_objects_is_noise() -> None:
    row = Row("made_up:X", "quality", "0", "", 2, 0.5, 0.49, 0.01, 0.02, 1.0)
    assert row.verdict == "noise"


@pytest.mark.parametrize("item", CONSTANTS, ids=lambda item: item.name)
def test_the_table_names_what_the_package_has(item: Constant) -> None:
    where, name = item.name.split(":")
    owner = importlib.import_module(f"napari_cellprompt.{where}")
    *settings, attribute = name.split(".")
    made = getattr(owner, settings[0])() if settings else owner
    assert getattr(made, attribute) != item.neutral
    with neutral(item):
        made = getattr(owner, settings[0])() if settings else owner
        assert getattr(made, attribute) == item.neutral


@pytest.mark.parametrize(
    ("model", "traits"), [("cellprompt-focus", 1), ("cellprompt-nano", 10)]
)
def test_both_bundled_models_have_traits_of_their_own(model: str, traits: int) -> None:
    spec = get_spec(model)
    own = [item for item in constants_of(spec) if item.name.startswith("traits:")]
    assert len(own) == traits
    for item in own:
        name = item.name.split(":")[1]
        assert getattr(without_trait(spec, item).traits, name) == item.neutral


def test_a_piece_is_where_most_objects_are() -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[30:34, 50:54], labels[35:38, 56:59] = 1, 2
    image, part = piece(np.arange(2400).reshape(40, 60), labels, 20)
    assert part.shape == image.shape == (20, 20)
    assert set(np.unique(part)) == {0, 1, 2}


def test_pieces_of_real_files_are_measured_on_every_part(tmp_path, monkeypatch) -> None:
    import ablate as module
    from data import make_plane, make_stack

    y, x = np.mgrid[:64, :64]
    labels = ((np.hypot(y - 20, x - 20) < 9) + 2 * (np.hypot(y - 44, x - 42) < 8)).astype(
        int
    )
    image = np.where(labels > 0, 200, 20).astype(np.uint8)
    planes = [make_plane("discs", "toy", image, labels) for _ in range(3)]
    (tmp_path / "manifest.json").write_text(json.dumps([{"name": "discs", "axes": "ZYX"}]))
    monkeypatch.setattr(
        module, "load_raw", lambda root, part: (planes, [make_stack(planes)])
    )
    bench = Bench(bright_focus(), limit=2, side=64, planes=3, root=tmp_path)
    bench.read()
    item = Constant("traits:certain", 1.01, "always asked", ("propagation",))
    assert len(bench.measure("quality", None)) == 2
    assert len(bench.measure("everything", None)) == 1
    assert len(bench.measure("propagation", item)) == 2
