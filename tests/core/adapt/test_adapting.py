from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.random_focus import bright_focus
from tests.small_focus import discs, small_focus

from napari_cellprompt.core.adapt.adapting import adapt_model
from napari_cellprompt.core.adapt.judging import Judgement, is_better, judge
from napari_cellprompt.core.adapt.learning import Learner
from napari_cellprompt.core.adapt.lessons import Lessons, MarkedPlane
from napari_cellprompt.core.adapt.saving import write_adapted
from napari_cellprompt.core.adapt.settings import AdaptSettings
from napari_cellprompt.core.errors import CheckpointError
from napari_cellprompt.core.zoo.importing import import_model
from napari_cellprompt.core.zoo.load import load_model
from napari_cellprompt.core.zoo.user_models import user_models

SETTINGS = AdaptSettings(seconds=1e6, steps=3, batch=4, most_clicks=1)


@pytest.fixture(scope="module")
def lessons() -> Lessons:
    image, labels = discs(8)
    return Lessons.divided([MarkedPlane(image, labels)], SETTINGS)


def same(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_copy_learns_and_the_model_stays(lessons):
    loaded = small_focus()
    before = {k: v.clone() for k, v in loaded.network.state_dict().items()}
    told = []
    adapted = adapt_model(loaded, lessons, SETTINGS, progress=told.append)
    assert same(before, loaded.network.state_dict())
    after = adapted.model.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any(name.startswith(("encoder", "entry")) for name in changed)
    # statistics of batch norms are not those of ten objects
    assert not any("running" in name for name in changed)
    assert adapted.steps == 3 and adapted.before.objects == len(lessons.held_out)
    assert [one.step for one in told if one.loss is not None] == [1, 2, 3]
    assert told[-1].judgement == adapted.after
    assert len(adapted.curve) == 2 and "before" in adapted.figures()


def test_one_seed_gives_one_model(lessons):
    torch.set_num_threads(1)
    states = [
        adapt_model(
            small_focus(), lessons, replace(SETTINGS, seed=seed)
        ).model.network.state_dict()
        for seed in (0, 0, 1)
    ]
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_all_of_the_network_can_learn(lessons):
    loaded = small_focus()
    adapted = adapt_model(loaded, lessons, replace(SETTINGS, steps=1, parts="all"))
    before, after = loaded.network.state_dict(), adapted.model.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("encoder") for name in changed)
    assert not any("running" in name for name in changed)


def test_the_loss_falls(lessons):
    settings = replace(SETTINGS, steps=40, batch=8, rate=3e-3)
    learner = Learner(small_focus(), lessons, settings)
    losses = [learner.step(number, 0.0) for number in range(40)]
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])


def test_a_stopped_run_goes_on_and_ends_as_if_it_had_not_been(lessons, tmp_path):
    torch.set_num_threads(1)
    checkpoint = tmp_path / "run.checkpoint"
    steps = []

    def stopped() -> bool:
        return len(steps) >= 2

    with pytest.raises(CancelledError):
        adapt_model(
            small_focus(),
            lessons,
            SETTINGS,
            progress=lambda one: steps.append(one.loss) if one.loss else None,
            cancelled=stopped,
            checkpoint=checkpoint,
        )
    assert checkpoint.is_file()
    told = []
    resumed = adapt_model(
        small_focus(), lessons, SETTINGS, progress=told.append, checkpoint=checkpoint
    )
    judged = [one.step for one in told if one.judgement is not None]
    assert judged == [3], "figures of before are not told as those of now"
    assert resumed.steps == 3 and not checkpoint.exists()
    straight = adapt_model(small_focus(), lessons, SETTINGS)
    assert same(resumed.model.network.state_dict(), straight.model.network.state_dict())


def test_a_checkpoint_of_another_run_is_refused(lessons, tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    with pytest.raises(CancelledError):
        adapt_model(
            small_focus(),
            lessons,
            SETTINGS,
            progress=lambda one: None,
            cancelled=iter([False] * 3 + [True] * 9).__next__,
            checkpoint=checkpoint,
        )
    other = replace(SETTINGS, seed=5)
    with pytest.raises(CheckpointError, match="another model, seed or part"):
        adapt_model(small_focus(), lessons, other, checkpoint=checkpoint)
    image, labels = discs(9)
    more = Lessons.divided([MarkedPlane(image, labels)], SETTINGS)
    with pytest.raises(CheckpointError, match="other objects"):
        adapt_model(small_focus(), more, SETTINGS, checkpoint=checkpoint)
    checkpoint.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="delete it to begin anew"):
        adapt_model(small_focus(), lessons, SETTINGS, checkpoint=checkpoint)


def test_time_ends_a_run(lessons):
    adapted = adapt_model(small_focus(), lessons, replace(SETTINGS, seconds=0.01))
    assert adapted.steps <= 1


def test_judging_counts_what_a_user_does(lessons):
    found = judge(bright_focus(), lessons.held_out, SETTINGS)
    assert found.click > 0.9 and found.box > 0.9
    assert found.corrections == 0 and found.objects == 3


@pytest.mark.parametrize(
    ("after", "better"),
    [
        ((0.70, 0.80, 2.0), False),
        ((0.71, 0.81, 2.0), False),
        ((0.73, 0.83, 2.0), True),
        ((0.80, 0.90, 2.5), False),
        ((0.70, 0.80, 1.5), True),
        ((0.695, 0.795, 1.5), True),
        ((0.60, 0.80, 1.5), False),
    ],
)
def test_what_is_offered(after, better):
    before = Judgement(0.70, 0.80, 2.0, 3)
    assert is_better(before, Judgement(*after, 3), AdaptSettings()) is better


def test_the_file_says_from_what_it_came_and_is_imported_like_any_other(
    lessons, tmp_path, monkeypatch
):
    monkeypatch.setenv("CELLPROMPT_CACHE", str(tmp_path / "cache"))
    adapted = adapt_model(small_focus(), lessons, replace(SETTINGS, steps=1))
    path = tmp_path / "mine.safetensors"
    write_adapted(adapted, path, SETTINGS, images="plate 3")
    model = import_model(path)
    assert model.origin == "from small, 8 objects of plate 3"
    assert user_models()["mine"].origin == model.origin
    again = load_model("mine", device="cpu")
    assert again.spec.name == "mine" and again.spec.traits.adapts
    state, expected = again.network.state_dict(), adapted.model.network.state_dict()
    for name, value in expected.items():
        if value.is_floating_point():
            assert torch.allclose(state[name], value, atol=2e-3, rtol=2e-3)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(CheckpointError, match="not the file any more"):
        load_model("mine", device="cpu")
