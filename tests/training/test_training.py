from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from augment import cut, jitter_looks, to_network
from auxiliary import DenseHead, dense_loss, dense_targets
from data import Plane, load_planes, load_splits, stretch
from evaluate import evaluate, pick_objects, summarise
from export import export
from losses import decoder_loss, mask_loss
from napari_cellprompt.core.zoo.load import load_model, save_checkpoint
from napari_cellprompt.core.zoo.registry import DrawingSpec, ModelSpec
from objective import batch_loss
from prompts import BatchStream, corrective_clicks, sample
from train import Average, build_network, mean_of_runs

SIZE = 64


@pytest.fixture(scope="module")
def config() -> dict:
    text = (Path(__file__).parents[2] / "training" / "config.json").read_text()
    return json.loads(text) | {"image_size": SIZE}


@pytest.fixture(scope="module")
def plane() -> Plane:
    """Three bright discs on a dark ground."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:80, :100]
    labels = np.zeros((80, 100), np.uint16)
    boxes = []
    for number, (cy, cx, radius) in enumerate([(20, 25, 9), (50, 70, 12), (60, 20, 7)], 1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
        boxes.append((cx - radius, cy - radius, cx + radius + 1, cy + radius + 1))
    image = (labels > 0) * 150 + rng.integers(0, 40, labels.shape)
    return Plane(
        "discs", "toy", image.astype(np.uint8), labels, np.arange(1, 4), np.array(boxes)
    )


def stream(plane: Plane, seed: int = 0) -> BatchStream:
    return BatchStream([plane], {"toy": 1.0}, size=SIZE, images=2, objects=4, seed=seed)


def test_no_image_is_in_two_parts():
    splits = load_splits()
    train, val = (set(splits["images"][part]) for part in ("train", "val"))
    assert len(train) > 400 and len(val) > 80
    assert not train & val
    for rule in splits["datasets"].values():
        assert "test" not in rule["parts"] or rule["parts"] == ["test"]
        if "columns" in rule:
            assert rule["columns"]["train"][1] < rule["columns"]["val"][0]
        elif {"train", "val"} <= set(rule["parts"]):
            assert rule["by_image"]


def test_what_is_kept_for_testing_or_training_only():
    datasets = load_splits()["datasets"]
    tested = {name for name, rule in datasets.items() if "test" in rule["parts"]}
    assert {name.split("_")[0] for name in tested} == {"sbiad634", "yeast", "ecoli"}
    for name in ("stardist_img3d", "baby_evolve_81"):
        assert datasets[name]["parts"] == ["train"]


def test_every_modality_trained_on_has_a_weight():
    splits = load_splits()
    trained = {r["modality"] for r in splits["datasets"].values() if "train" in r["parts"]}
    assert set(splits["weights"]) == trained
    assert sum(splits["weights"].values()) == pytest.approx(1)


@pytest.mark.skipif(
    "CELLPROMPT_DATA" not in os.environ, reason="CELLPROMPT_DATA names no microscopy data"
)
def test_real_stack_is_cut_by_columns():
    root = os.environ["CELLPROMPT_DATA"]
    train = load_planes(root, "train", datasets={"maize_clsm"})
    val = load_planes(root, "val", datasets={"maize_clsm"})
    assert [p.image.shape[1] for p in (*train, *val)] == [300, 300]
    for part in (*train, *val):
        rows = part.boxes[0]
        inside = part.labels[rows[1] : rows[3], rows[0] : rows[2]] == part.ids[0]
        assert inside.any(axis=0).all() and inside.any(axis=1).all()


def test_stretch_maps_percentiles_and_survives_a_constant():
    ramp = stretch(np.arange(10_000, dtype=np.uint16).reshape(100, 100))
    assert (
        ramp.min() == 0 and ramp.max() == 255 and ramp[50, 0] == pytest.approx(128, abs=2)
    )
    assert stretch(np.full((5, 5), 7, np.uint16)).max() == 0


@pytest.mark.parametrize("seed", range(8))
def test_crop_shows_the_object_it_was_cut_for(plane, seed):
    crop = cut(plane, SIZE, np.random.default_rng(seed))
    assert crop.image.shape == (SIZE, SIZE)
    whole = np.count_nonzero(plane.labels == crop.chosen)
    assert np.count_nonzero(crop.labels == crop.chosen) == whole


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "RGB"])
def test_looks_stay_finite(colour):
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (SIZE, SIZE, 3) if colour else (SIZE, SIZE), np.uint8)
    image[:8] = 0
    for _ in range(40):
        value = jitter_looks(image, rng)
        assert value.shape == (SIZE, SIZE, 3)
        assert np.isfinite(value).all() and value.min() >= 0 and value.max() <= 1
    assert to_network(value).shape == (3, SIZE, SIZE)


@pytest.mark.parametrize("seed", range(5))
def test_prompts_lie_on_their_objects(plane, seed):
    batch = sample(plane, SIZE, 8, np.random.default_rng(seed))
    assert batch.images.shape == (1, 3, SIZE, SIZE)
    for (x, y), target in zip(batch.clicks[0, :, 0], batch.clicked[0], strict=True):
        cell = target[int((y + 0.5) // 4), int((x + 0.5) // 4)]
        assert cell > 0.1 if target.max() > 0.05 else cell == 0
    for (start, stop), target in zip(batch.boxes[0], batch.boxed[0], strict=True):
        rows, columns = np.nonzero(target.numpy() > 0.5)
        assert (start < stop).all()
        middle = torch.tensor([columns.mean(), rows.mean()]) * 4 + 1.5
        assert (start < middle).all() and (middle < stop).all()
    assert batch.masks.shape[1] == batch.masked.shape[1] == 3
    assert [batch.clicks.shape[1], batch.boxes.shape[1]] == [3, 2]
    there = [p for p, t in zip(batch.masks[0], batch.masked[0], strict=True) if t.max() > 0]
    assert all((prompt > 0).any() for prompt in there)


def test_streams_repeat_with_their_seed(plane):
    first, again, other = (next(iter(stream(plane, seed))) for seed in (3, 3, 4))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_every_worker_cuts_its_own_crops(plane):
    loader = torch.utils.data.DataLoader(stream(plane), batch_size=None, num_workers=2)
    first, second = itertools.islice(loader, 2)
    assert not torch.equal(first.images, second.images)


def test_a_gpu_gets_settings_that_the_recipe_knows(config):
    assert set(config["gpu"]) <= set(config)
    assert all(set(stage) == set(config["stages"][0]) for stage in config["gpu"]["stages"])


def test_dense_targets_point_to_the_centre():
    labels = np.zeros((SIZE, SIZE), np.uint16)
    labels[16:32, 8:40] = 1
    inside, outline, dx, dy, extent = dense_targets(labels, SIZE)
    assert inside.sum() == 4 * 8 and outline[4, 2] == 1 and outline[5, 5] == 0
    # cells 2 to 9 in x have their centre at 5.5, cells 4 to 7 in y at 5.5
    assert dx[5, 2] == pytest.approx(3.5 / 8) and dy[7, 5] == pytest.approx(-1.5 / 8)
    assert extent[5, 5] == pytest.approx(0.5 * np.log(32))
    assert dx[0, 0] == 0


def test_corrective_click_goes_where_most_is_wrong():
    truth = torch.zeros(3, 16, 16)
    truth[:, 4:12, 4:12] = 1
    logits = torch.where(truth > 0, 5.0, -5.0)
    logits[0, 4:12, 8:12] = -5
    logits[1, 0:3] = 5
    points, labels = corrective_clicks(logits, truth)
    assert labels[:, 0].tolist() == [1, 0, -1]
    x, y = (points[0, 0] / 4).floor().int().tolist()
    assert truth[0, y, x] == 1 and 8 <= x < 12
    assert points[1, 0, 1] < 12


def test_mask_loss_prefers_the_truth():
    truth = torch.zeros(1, 16, 16)
    truth[:, 4:10, 4:10] = 1
    good = torch.where(truth > 0, 8.0, -8.0)
    losses = mask_loss(torch.stack((good, good.roll(4, 2), -good), dim=1), truth)[0]
    assert losses[0] < 0.05 < losses[1] < losses[2]


def test_only_the_best_of_three_is_pulled_hard():
    truth = torch.zeros(1, 8, 8)
    truth[:, 2:6, 2:6] = 1
    good = torch.where(truth > 0, 3.0, -3.0)
    masks = torch.stack((good, -good, good, -good), dim=1).requires_grad_()
    loss, log = decoder_loss(masks, torch.full((1, 4), 0.5), torch.zeros(1, 1), truth)
    loss.backward()
    assert log["iou"] == 1.0
    pulls = masks.grad.abs().sum(dim=(0, 2, 3))
    assert pulls[1] > 0
    alone = mask_loss(masks[:, 1:2], truth).sum()
    (full_pull,) = torch.autograd.grad(alone, masks)
    assert pulls[1] < 0.1 * full_pull.abs().sum()


def test_nothing_there_trains_only_presence():
    masks = torch.zeros(2, 4, 8, 8, requires_grad=True)
    presence = torch.zeros(2, 1, requires_grad=True)
    loss, log = decoder_loss(masks, torch.zeros(2, 4), presence, torch.zeros(2, 8, 8))
    loss.backward()
    assert masks.grad is None and (presence.grad > 0).all() and log == {}


def test_average_follows_the_weights():
    layer = torch.nn.Linear(2, 2)
    average = Average(layer, 0.5)
    start = average.state["weight"].clone()
    with torch.no_grad():
        layer.weight += 1
    average.update(layer)
    moved = average.state["weight"] - start
    assert ((moved >= 0.5) & (moved < 1)).all()


def test_loss_falls_on_a_repeated_batch(plane, config):
    torch.manual_seed(0)
    network, head = build_network(config), DenseHead(config["network"]["d_model"])
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=5e-4)
    batch = next(iter(stream(plane)))
    values = []
    for correct in itertools.islice(itertools.cycle((None, "click", "box", "mask")), 16):
        loss, log = batch_loss(network, head, batch, config, correct=correct, rounds=2)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if correct is None:
            values.append(float(loss.detach()))
        assert all(np.isfinite(value) for value in log.values())
    assert values[-1] < 0.7 * values[0]
    assert network.memory_encoder.out_proj.weight.grad is None


def test_a_new_head_learns_before_it_teaches(plane, config):
    torch.manual_seed(0)
    network = build_network(config)
    head = DenseHead(config["network"]["d_model"])
    batch = next(iter(stream(plane)))
    config = config | {"dense_weight": 1e6}
    gradients = {}
    for teach in (True, False):
        network.zero_grad()
        head.zero_grad()
        loss, _ = batch_loss(network, head, batch, config, correct=None, teach=teach)
        loss.backward()
        assert all(parameter.grad.abs().max() > 0 for parameter in head.parameters())
        gradients[teach] = network.image_encoder.trunk.patch_embed.proj.weight.grad.norm()
    assert 0 < gradients[False] < 0.01 * gradients[True]


def test_training_goes_on_from_an_exported_file(config, tmp_path):
    network = build_network(config)
    spec = ModelSpec(
        name="toy",
        family="sam2",
        network=config["network"],
        image_size=SIZE,
        drawing=DrawingSpec(16.0, 1.5),
    )
    file = tmp_path / "toy.safetensors"
    save_checkpoint(file, network.state_dict(), spec, half=False)
    state = mean_of_runs([file], torch.device("cpu"))
    assert set(state) == {"average"}
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(state["average"][name], tensor)


def test_dense_loss_is_least_for_the_truth(plane):
    targets = torch.from_numpy(dense_targets(plane.labels, SIZE))[None]
    exact = torch.cat((targets[:, :2] * 40 - 20, targets[:, 2:]), dim=1)
    assert dense_loss((exact, exact), targets) < 1e-3
    assert dense_loss((exact, exact + 1), targets) > 0.5


def test_evaluation_scores_every_picked_object(plane, config):
    network = build_network(config)
    drawing = {"amplitude": 16.0, "sigma": 1.5}
    objects = pick_objects([plane], 2)
    assert objects == pick_objects([plane], 2) and len(objects[0][1]) == 2
    scores = evaluate(network, objects, drawing, size=SIZE)
    table = summarise(scores)
    assert table["toy"]["objects"] == 2
    assert all(0 <= score.click <= score.click_best <= 1 for score in scores)
    assert 0.8 < table["toy"]["ellipse"] <= 1
    assert network.image_size == SIZE


def test_export_takes_back_what_the_memory_did_to_the_decoder(config, tmp_path):
    network = build_network(config)
    told = {"config": json.dumps(config), "step": 1, "elapsed": 1.0}
    values = {"image": 0.0, "memory": 1.0, "other": 3.0}
    for name, value in values.items():
        state = {k: torch.full_like(v, value) for k, v in network.state_dict().items()}
        (tmp_path / name).mkdir()
        torch.save({"average": state} | told, tmp_path / name / "checkpoint.pt")
    image, memory, other = (tmp_path / name for name in values)
    target = tmp_path / "x.safetensors"
    found = load_model(export([memory], target, image_runs=[image])).network.state_dict()
    assert (found["maskmem_tpos_enc"] == 1).all()
    assert (found["sam_mask_decoder.iou_token.weight"] == 0.25).all()
    found = load_model(export([memory, other], target)).network.state_dict()
    assert (found["maskmem_tpos_enc"] == 2).all(), "the mean of both runs"


def test_export_is_what_the_package_loads(config, tmp_path):
    network = build_network(config)
    torch.save(
        {
            "average": network.state_dict(),
            "config": json.dumps(config),
            "step": 7,
            "elapsed": 90.0,
        },
        tmp_path / "checkpoint.pt",
    )
    written = export(
        [tmp_path], tmp_path / "tiny.safetensors", carry=True, after=[tmp_path]
    )
    model = load_model(written)
    with safe_open(written, framework="pt") as file:
        told = json.loads(file.metadata()["config"])
    assert told["training"] == {"steps": 14, "minutes": 3.0}
    assert told["drawing"]["carry"]
    assert model.spec.drawing is not None and model.spec.drawing.amplitude == 16.0
    assert model.spec.image_size == SIZE
    expected = network.state_dict()["maskmem_tpos_enc"].half().float()
    assert torch.equal(model.network.state_dict()["maskmem_tpos_enc"], expected)
