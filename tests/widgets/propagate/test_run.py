"""What a propagation is expected to cost before it starts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.propagate.types import Estimate
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.session.propagate import Seed
from napari_cellprompt.widgets.propagate.run import LONG, estimate_text, expected


def run_of(
    count: int, *, scale: tuple[float, ...] = (1.0, 1.0, 1.0), time: bool = False
) -> Any:
    """Objects of 20 pixels across, to be followed along the first axis."""
    mask = np.zeros((40, 40), bool)
    rows, columns = np.ogrid[:40, :40]
    mask[(rows - 20) ** 2 + (columns - 20) ** 2 <= 100] = True
    seeds = tuple(Seed(n + 1, 0, Prompts(mask=encode(mask))) for n in range(count))
    axis = SimpleNamespace(axis=0, plane_word="frame" if time else "plane")
    stack = SimpleNamespace(
        is_time=time,
        image=SimpleNamespace(scale=scale),
        view=SimpleNamespace(axes=(1, 2)),
        axis=axis,
    )
    collected = SimpleNamespace(ids=tuple(range(1, count + 1)))
    return SimpleNamespace(seeds=seeds, stack=stack, collected=collected)


def test_an_object_is_not_expected_to_fill_the_stack() -> None:
    """'3 minutes' was announced for what took 4.4 s."""
    cost = expected(run_of(1), Estimate(900, 180.0, 10**8), None)
    assert 20 <= cost.planes <= 40
    assert cost.seconds < 10 < LONG < cost.at_most
    assert not cost.much


def test_thick_planes_mean_fewer_of_them() -> None:
    cost = expected(run_of(1, scale=(5.0, 1.0, 1.0)), Estimate(900, 180.0, 0), None)
    assert 5 <= cost.planes <= 10


def test_in_a_movie_objects_are_followed_to_its_end() -> None:
    cost = expected(run_of(1, time=True), Estimate(900, 180.0, 0), None)
    assert (cost.planes, cost.seconds) == (900, pytest.approx(180))
    assert cost.much


def test_what_the_last_run_took_counts_more_than_the_first_plane() -> None:
    cost = expected(run_of(1, time=True), Estimate(900, 180.0, 0), 0.02)
    assert cost.seconds == pytest.approx(18)
    assert not cost.much


def test_much_memory_is_asked_about_too() -> None:
    assert expected(run_of(1), Estimate(10, 1.0, 3 * 10**9), None).much


def test_the_question_says_both_costs() -> None:
    run = run_of(40)
    text = estimate_text(run, expected(run, Estimate(8000, 1600.0, 10**8), None))
    assert text.startswith("40 objects, about ") and "at most 27 min" in text


def test_memory_is_told_only_where_it_matters() -> None:
    """'Up to 0 MB of memory' was announced."""
    run = run_of(1, time=True)
    told = [
        estimate_text(run, expected(run, Estimate(900, 180.0, size), None))
        for size in (10**5, 10**8)
    ]
    assert "MB" not in told[0]
    assert "up to 100 MB" in told[1]
