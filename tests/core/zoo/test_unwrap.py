"""Checkpoints as training leaves them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_cellprompt.core.errors import CheckpointError
from napari_cellprompt.core.zoo.load import load_model
from napari_cellprompt.core.zoo.unwrap import find_network

State = dict[str, Tensor]


def named(state: State, prefix: str) -> State:
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def other(state: State) -> State:
    """Other values under the same names."""
    return {k: v + 1 if v.is_floating_point() else v for k, v in state.items()}


def compiled_in_part(state: State) -> State:
    return {
        name.replace("image_encoder.", "image_encoder._orig_mod."): tensor
        for name, tensor in state.items()
    }


OPTIMISER = {
    "state": {0: {"step": torch.ones(()), "exp_avg": torch.zeros(3)}},
    "param_groups": [{"lr": 1e-4, "params": [0, 1]}],
}

LAYOUTS: dict[str, Callable[[State], object]] = {
    "plain": lambda s: s,
    "module": lambda s: named(s, "module."),
    "compiled": lambda s: named(s, "_orig_mod."),
    "model + module": lambda s: {"model": named(s, "module.")},
    "model + compiled": lambda s: {"model": named(s, "_orig_mod.")},
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": s, "loss": 0.5},
    "model_state": lambda s: {"model_state": s},
    "module of module": lambda s: {"state_dict": named(s, "module.module.")},
    "compiled then parallel": lambda s: {"model": named(s, "module._orig_mod.")},
    "parallel then compiled": lambda s: {"model": named(s, "_orig_mod.module.")},
    "lightning": lambda s: {"state_dict": named(s, "model.net."), "global_step": 7},
    "deepspeed": lambda s: {"module": named(s, "_forward_module.model.")},
    "sharded": lambda s: {"model": named(s, "_fsdp_wrapped_module.")},
    "in part": lambda s: {"model": compiled_in_part(s)},
    "nested": lambda s: {"state": {"checkpoint": {"model": {"state_dict": s}}}},
    "a loss beside it": lambda s: {**named(s, "net."), "loss.weight": torch.ones(2)},
    "with optimiser": lambda s: {"model": s, "optimizer": OPTIMISER, "step": 9},
    "average beside it": lambda s: {"model": other(s), "ema": s},
    "average, wrapped": lambda s: {"model": other(s), "model_ema": {"module": s}},
    "average with decay": lambda s: {"model": other(s), "ema": {"decay": 0.9, "shadow": s}},
    "average under its key": lambda s: {"state_dict": other(s), "state_dict_ema": s},
    "average by prefix": lambda s: {
        **named(other(s), "online_model."),
        **named(s, "ema_model."),
        "step": torch.ones(()),
    },
    "averaged model": lambda s: {**named(s, "module."), "n_averaged": torch.tensor(4)},
    "average of a part": lambda s: {"model": s, "ema": dict(list(other(s).items())[:-2])},
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_training_leaves_loads(name: str, nano_state: State, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    torch.save(LAYOUTS[name](nano_state), path)
    loaded = load_model(path, device="cpu").network.state_dict()
    assert all(torch.equal(loaded[key], nano_state[key]) for key in nano_state)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.net."])
def test_wrapped_safetensors_load(prefix: str, nano_state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(named(nano_state, prefix), path)
    loaded = load_model(path, device="cpu").network.state_dict()
    assert all(torch.equal(loaded[key], nano_state[key]) for key in nano_state)


def test_parameters_that_want_gradients_load(nano_state: State, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    kept = {k: torch.nn.Parameter(v) for k, v in nano_state.items()}
    torch.save({"state_dict": kept}, path)
    assert not any(
        value.requires_grad for value in load_model(path).network.state_dict().values()
    )


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(lambda s: {"best": s, "last": other(s)}, id="keys"),
        pytest.param(
            lambda s: {**named(s, "student."), **named(other(s), "teacher.")}, id="names"
        ),
    ],
)
def test_two_networks_and_no_word_which_are_refused(
    layout: Callable[[State], object], nano_state: State, tmp_path: Path
) -> None:
    path = tmp_path / "two.pt"
    torch.save(layout(nano_state), path)
    with pytest.raises(CheckpointError, match=r"two\.pt .*holds 2 networks.*save the one"):
        load_model(path)


def test_a_larger_teacher_is_not_taken_for_the_network(nano_state: State) -> None:
    teacher = {**named(nano_state, "teacher."), "teacher.more": torch.ones(1)}
    with pytest.raises(CheckpointError, match="2 networks"):
        find_network({**teacher, **named(nano_state, "student.")})


def test_tensors_of_no_known_network() -> None:
    assert find_network({"a": torch.ones(1), "model": {"b": torch.ones(2)}}) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_weights_that_are_not_finite_are_refused_by_name(
    nano_state: State, tmp_path: Path, value: float, suffix: str
) -> None:
    name = "memory_attention.layers.0.linear1.weight"
    state = {**nano_state, name: nano_state[name].clone()}
    state[name][3, 5] = value
    path = tmp_path / f"broken.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    with pytest.raises(CheckpointError, match=rf"broken\.{suffix} .*{name} .*not finite"):
        load_model(path)
