"""A run, its losses, its weights and how it is measured."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from napari_cellprompt.core.networks.focus import FocusNet


@pytest.fixture
def run(tmp_path, monkeypatch, stack, recipe):
    """A run on the moving discs, from scratch."""
    import train

    monkeypatch.setenv("CELLPROMPT_DATA", str(tmp_path))
    monkeypatch.setattr(train, "load_raw", lambda root, part: (stack.planes, [stack]))
    monkeypatch.setattr(train, "simulated", lambda seeds: [])
    monkeypatch.setattr(train, "VALIDATION_OBJECTS", 1)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    return lambda **more: train.Run(
        argparse.Namespace(
            **{
                "out": tmp_path / "run",
                "recipe": tmp_path / "recipe.json",
                "minutes": 1.0,
                "validate_every": 10.0,
                "start_from": None,
                "from_scratch": True,
                "keep": False,
                "seed": 0,
            }
            | more
        )
    )


def batch_of(run, count: int = 4):
    from napari_cellprompt.core.training.samples import BatchStream, Sampler

    sampler = Sampler(run.planes, run.stacks, run.recipe["samples"])
    return next(iter(BatchStream(sampler, count, 0)))


def test_a_run_goes_on_where_it_was_stopped(run):
    first = run()
    for _ in range(3):
        values = first._step(batch_of(first, 8))
    assert np.isfinite(values["loss"])
    first.elapsed = 12.0
    first.save()
    second = run()
    assert (second.step, second.samples, second.elapsed) == (3, 24, 12.0)
    for name, tensor in first.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name])
    for name, tensor in first.average.state.items():
        assert torch.equal(tensor, second.average.state[name])


def test_a_new_run_begins_with_the_averaged_weights_of_another(run, tmp_path):
    first = run()
    first._step(batch_of(first))
    first.elapsed = 60.0
    first.save()
    second = run(out=tmp_path / "other", start_from=tmp_path / "run" / "checkpoint.pt")
    assert second.step == 0 and second.minutes_before == 1.0
    name = "mask_head.weight"
    assert torch.equal(second.network.state_dict()[name], first.average.state[name])


def test_exported_weights_can_be_read(run):
    one = run()
    one.save()
    path = one.folder / "cellprompt-focus.safetensors"
    with safe_open(str(path), "pt") as file:
        config = json.loads(file.metadata()["config"])
    assert config["name"] == "cellprompt-focus" and config["image_size"] == 64
    network = FocusNet(**config["network"])
    state = {name: tensor.float() for name, tensor in load_file(path).items()}
    missing = network.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys)


def test_validation_is_logged(run):
    one = run()
    one.cases, one.runs = one.cases[:1], one.runs[:1]
    one.validate()
    line = json.loads((one.folder / "log.jsonl").read_text())
    assert {"click", "box", "present", "found"} <= set(line["validation"])


def test_the_rate_rises_and_falls(run):
    one = run()
    early = one._rate()
    one.step, one.elapsed = 50, 1.0
    full = one._rate()
    one.elapsed = 60.0
    assert early < full and one._rate() == pytest.approx(0.02) and full > 0.99


def test_iou_is_that_of_the_whole_object():
    from napari_cellprompt.core.training.losses import whole_iou

    cover = torch.zeros(3, 32, 32)
    cover[:, 8:24, 8:24] = 1
    logits = torch.where(cover > 0.5, 5.0, -5.0)
    iou = whole_iou(logits, cover, torch.tensor([256.0, 512.0, 0.0]))
    assert iou.tolist() == pytest.approx([1.0, 0.5, 0.0])


def test_a_better_mask_costs_less():
    from napari_cellprompt.core.training.losses import mask_loss

    cover = torch.zeros(1, 32, 32)
    cover[:, 8:24, 8:24] = 1
    costs = []
    for shift in (0, 3, 9):
        logits = torch.where(cover.roll(shift, 2) > 0.5, 4.0, -4.0)
        costs.append([float(part) for part in mask_loss(logits, cover)])
    assert costs[0][0] < costs[1][0] < costs[2][0]
    assert costs[0][1] < costs[1][1] < costs[2][1]


def test_the_average_lags_behind():
    from weights import Average

    layer = torch.nn.Linear(2, 2)
    average = Average(layer, 0.998)
    before = average.state["weight"].clone()
    with torch.no_grad():
        layer.weight += 1
    average.update(layer)
    moved = average.state["weight"] - before
    assert (moved > 0).all() and (moved < 1).all()


def test_a_perfect_network_scores_one(stack):
    import measuring
    from asking import Answer, Asker

    class Knowing(Asker):
        """Answers with the object under the first click, in the box or before."""

        def __init__(self):
            self.size = 128

        def ask(self, image, crops, prompts):
            from napari_cellprompt.core.inference.crops import read

            answers = []
            for crop in crops:
                mask = read(self.truth.astype(np.float32), crop)
                answers.append(Answer(crop, (mask - 0.5) * 20, 0.9, 0.9, image.shape[:2]))
            return answers

    asker = Knowing()
    for case in measuring.choose(stack.planes, 3):
        asker.truth = case.truth
        scores = measuring.measure_case(asker, case, 3)
        for name in ("click", "3 clicks", "box", "loose box", "moved mask"):
            assert scores[name] > 0.9, name
        assert scores["ellipse"] > 0.8


def test_runs_count_their_ends(stack):
    from measuring import choose_runs

    runs = choose_runs([stack], 9, 7)
    assert {number for _, number, _ in runs} == {1, 2, 3}
    planes = next(planes for _, number, planes in runs if number == 2)
    assert planes[-1] == 7 and planes[0] <= 4


def test_no_image_is_in_two_parts():
    from data import load_splits

    splits = load_splits()
    train, val = (set(splits["images"][part]) for part in ("train", "val"))
    assert len(train) > 400 and len(val) > 80 and not train & val
    for name, rule in splits["datasets"].items():
        for key in ("columns", "planes"):
            if key in rule:
                assert rule[key]["train"][1] <= rule[key]["val"][0], name
    never = [
        n for n, r in splits["datasets"].items() if not {"train", "val"} & set(r["parts"])
    ]
    assert {
        "ecoli_trpL_registered",
        "ecoli_trpL_drift",
        "yeast_phase_left",
        "sbiad634_ganglioneuroblastoma_0",
        "t98g_phase_movie",
    } <= set(never)


def test_every_kind_of_image_has_a_share():
    from data import load_splits

    recipe = json.loads(
        (Path(__file__).parents[2] / "training" / "recipe.json").read_text()
    )
    kinds = {
        rule["modality"]
        for rule in load_splits()["datasets"].values()
        if "train" in rule["parts"]
    }
    assert kinds == set(recipe["samples"]["modalities"])


@pytest.mark.slow
@pytest.mark.skipif("CELLPROMPT_DATA" not in os.environ, reason="needs CELLPROMPT_DATA")
def test_the_data_load():
    from data import load_raw

    for part in ("train", "val"):
        planes, stacks = load_raw(os.environ["CELLPROMPT_DATA"], part)
        assert len(planes) > 300 and len(stacks) >= 6
        assert all(len(plane.ids) for plane in planes)


def test_what_is_shipped_is_checked(run, tmp_path):
    from export import ship
    from weights import export

    one = run()
    one.save()
    written = ship(one.folder, tmp_path / "weights" / "focus.safetensors")
    assert (
        written.read_bytes() == (one.folder / "cellprompt-focus.safetensors").read_bytes()
    )
    one.average.state["mask_head.bias"] += float("nan")
    bad = export(
        one.average.state,
        tmp_path / "bad.safetensors",
        network=one.recipe["network"],
        size=64,
        training={},
    )
    with pytest.raises(ValueError, match=r"mask_head\.bias"):
        ship(bad, tmp_path / "weights" / "focus.safetensors")
    assert written.exists()


def test_the_mean_of_states_is_written(run, tmp_path):
    from safetensors.torch import load_file

    from export import mean_of

    one = run()
    states = []
    for value in (1.0, 3.0):
        one.average.state["mask_head.bias"].fill_(value)
        states.append(tmp_path / f"{value}.safetensors")
        one.export(states[-1])
    mean = mean_of(states, tmp_path / "mean.safetensors")
    biases = load_file(mean)["mask_head.bias"]
    assert biases.tolist() == [2.0] * len(biases)


def test_answers_along_a_chain_are_handed_on():
    from napari_cellprompt.core.inference.crops import CHANNELS
    from napari_cellprompt.core.networks.focus import FocusOutput
    from napari_cellprompt.core.training.rounds import answer_chains

    asked = []

    def network(image, prompts):
        """The mask given before, one pixel to the right."""
        asked.append(len(image))
        mask = prompts[:, CHANNELS["before_mask"]].roll(1, 2)
        nothing = torch.zeros(len(image))
        return FocusOutput((mask - 0.5) * 10, nothing, nothing, None)

    network.training = False
    network.eval = network.train = lambda mode=True: None
    prompts = torch.zeros(2, 11, 64, 64)
    prompts[:, CHANNELS["before_mask"], 8, 8] = 1
    first = prompts[:1].repeat(3, 1, 1, 1)
    chains = [
        (0, torch.zeros(3, 3, 64, 64), first),
        (1, torch.zeros(1, 3, 64, 64), prompts[1:].clone()),
    ]
    answer_chains(network, {"chains": chains, "prompts": prompts})
    assert asked == [1, 1, 2]
    assert prompts[0, CHANNELS["before_mask"], 8].argmax() == 11
    assert prompts[1, CHANNELS["before_mask"], 8].argmax() == 9
