"""Models from names or files, ready to use; and files from models."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch import Tensor

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import CheckpointError
from napari_cellprompt.core.networks.build import build_sam1, build_sam2
from napari_cellprompt.core.networks.focus import FocusNet
from napari_cellprompt.core.networks.sam.sam1 import SAM1
from napari_cellprompt.core.networks.sam.sam2 import SAM2

from .checkpoints import detect_family, detect_variant, first_few, read_state_dict
from .folder import cache_folder
from .places import find_weights
from .registry import DEFAULT_MODEL, MODELS, DrawingSpec, ModelSpec
from .traits import CROP_WISE, DRAWN_PROMPTS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LoadedModel",
    "cache_folder",
    "choose_device",
    "load_model",
    "origin_in",
    "save_checkpoint",
]


_LONGEST_ORIGIN = 200
_COUNTER = ".num_batches_tracked"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A network with its weights, and what is known about it."""

    network: SAM1 | SAM2 | FocusNet
    """In evaluation mode, float32, on its device."""
    spec: ModelSpec
    source: Path
    """The file that the weights were read from."""

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.network.parameters()).device

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self.spec.image_size

    @property
    def sam(self) -> SAM1 | SAM2:
        """The network, where it is one of SAM or SAM 2.

        Raises
        ------
        CheckpointError
            For a crop-wise model, which encodes no whole image.
        """
        if isinstance(self.network, FocusNet):
            raise CheckpointError(
                f"{self.spec.name} looks at a crop around one object and is no SAM: choose "
                "cellprompt-nano or a model of SAM or SAM 2 here."
            )
        return self.network

    @property
    def focus(self) -> FocusNet:
        """The network, where it looks at a crop around one object.

        Raises
        ------
        CheckpointError
            For a model of SAM or SAM 2.
        """
        if not isinstance(self.network, FocusNet):
            raise CheckpointError(f"{self.spec.name} is no crop-wise model.")
        return self.network

    @property
    def with_memory(self) -> SAM2:
        """The network, where it can follow objects from image to image.

        Raises
        ------
        CheckpointError
            For a model of the SAM family, which has no memory.
        """
        if not isinstance(self.network, SAM2):
            raise CheckpointError(
                f"{self.spec.name} is made for single images and has no memory: choose "
                "cellprompt-nano or a SAM 2 model to follow objects."
            )
        return self.network


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """Take the named device, or a CUDA GPU where there is one, else the CPU.

    Apple's GPU is used only when it is asked for: some of its kernels are wrong.

    Raises
    ------
    ValueError
        When there is no such device here.
    """
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device {str(device)!r} is not available here; use 'cpu', or leave it out."
        ) from error
    return chosen


# Also when called in inference mode: a network made of inference tensors could be used
# nowhere else.
@torch.inference_mode(False)
def load_model(
    name_or_path: str | Path = DEFAULT_MODEL,
    *,
    image_size: int | None = None,
    device: str | torch.device | None = None,
) -> LoadedModel:
    """Load a model of the zoo, or a checkpoint from a file.

    Parameters
    ----------
    name_or_path : str or Path
        A name or alias (``"cellprompt-nano"``, ``"sam2.1_t"``), or the name of an
        imported model, with or without a suffix such as ``.pt``; an existing file, or
        anything with a path separator, is a checkpoint. What it holds is read from its
        tensors: the file's name does not matter.
    image_size : int, optional
        Side of the square input in pixels, a multiple of 32. Default: what the model
        was made for. (Some fine-tuned SAM 2 expect 512, which no tensor shows.)
    device : str or torch.device, optional
        Default and ``"auto"``: a CUDA GPU where there is one, else the CPU.

    Returns
    -------
    LoadedModel
        The network in evaluation mode on the device.

    Raises
    ------
    CheckpointError
        When the name is unknown, or the file cannot be used; it names the file.
    DownloadError
        When the weights of a known model are not on this computer.
    ValueError
        When ``image_size`` or ``device`` cannot be used.
    """
    if image_size is not None and (image_size <= 0 or image_size % 32):
        raise ValueError(f"image_size must be a positive multiple of 32: got {image_size}.")
    chosen_device = choose_device(device)
    with find_weights(name_or_path) as place:
        mine = place.mine
        size = image_size if image_size or mine is None else mine.image_size
        network, spec = _load_file(place.path, expected=place.published, image_size=size)
    if mine is not None:
        spec = replace(spec, name=mine.name)
    return LoadedModel(network.eval().to(chosen_device), spec, place.path)


def origin_in(path: Path) -> str:
    """From what a model came, as its file says it; empty where it does not."""
    training = read_state_dict(path)[1].get("training")
    origin = training.get("origin") if isinstance(training, dict) else None
    return origin[:_LONGEST_ORIGIN] if isinstance(origin, str) else ""


def _load_file(
    path: Path, *, expected: ModelSpec | None, image_size: int | None
) -> tuple[SAM1 | SAM2 | FocusNet, ModelSpec]:
    """Build the network that a file holds and fill it."""
    state, metadata = read_state_dict(path)
    try:
        spec = _spec_of_file(path, state, metadata, expected)
        if image_size is not None:
            spec = replace(spec, image_size=image_size)
        network = _build(spec)
    except CheckpointError as error:
        raise CheckpointError(f"The checkpoint {path} cannot be used. {error}") from error
    _fill(network, state, path)
    return network, spec


def _spec_of_file(
    path: Path,
    state: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    expected: ModelSpec | None,
) -> ModelSpec:
    config = metadata.get("network")
    if metadata and not isinstance(config, dict):
        raise CheckpointError("Its configuration describes no network.")
    variant = detect_variant(state, config)
    known = _same_network(variant)
    fits = known is not None and expected is not None and known.network == expected.network
    if expected is not None and not fits and not expected.bundled:
        raise CheckpointError(
            f"It does not hold {expected.name} but "
            f"{known.name if known else 'another network'}."
        )
    made_for = expected or known
    image_size = metadata.get("image_size", made_for.image_size if made_for else 1024)
    if type(image_size) is not int or image_size <= 0 or image_size % 32:
        raise CheckpointError(
            "Its configuration must give image_size as a positive multiple of 32: got "
            f"{image_size!r}."
        )
    if expected is not None:
        base = expected
    else:
        name = str(metadata.get("name", path.stem))
        base = ModelSpec(name, detect_family(state), variant, 1024)
    drawing = _drawing(metadata.get("drawing"))
    if base.family == "focus":
        base = replace(base, traits=CROP_WISE)
    return replace(
        base,
        network=variant,
        image_size=image_size,
        drawing=drawing,
        traits=base.traits if drawing is None else DRAWN_PROMPTS,
    )


def _same_network(variant: Mapping[str, object]) -> ModelSpec | None:
    """Find the model of the zoo that has these hyper-parameters."""
    for spec in MODELS.values():
        if all(variant.get(name) == value for name, value in spec.network.items()):
            return spec
    return None


def _drawing(config: object) -> DrawingSpec | None:
    if config is None:
        return None
    try:
        if not isinstance(config, dict):
            raise TypeError
        if not config["on"]:
            return None
        carry = config.get("carry", False)
        if type(carry) is not bool:
            raise TypeError
        return DrawingSpec(float(config["amplitude"]), float(config["sigma"]), carry)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            "Its configuration must give drawing as on, amplitude and sigma (and carry, "
            f"true or false): got {config!r}."
        ) from error


def _build(spec: ModelSpec) -> SAM1 | SAM2 | FocusNet:
    try:
        # The configuration may come from a file, so anything may stand in it.
        arguments: dict[str, Any] = dict(spec.network)
        if spec.family == "focus":
            return FocusNet(**arguments)
        if spec.family == "sam1":
            return build_sam1(image_size=spec.image_size, **arguments)
        if arguments.get("trunk", "hiera") == "hiera":
            embed_dim, heads = arguments["embed_dim"], arguments["num_heads"]
            if type(heads) is not int or heads < 1 or embed_dim % heads:
                raise ValueError(f"num_heads = {heads} does not divide {embed_dim}")
        return build_sam2(image_size=spec.image_size, **arguments)
    except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise CheckpointError(
            f"Its configuration describes no network that can be built ({error})."
        ) from error


def _fill(network: SAM1 | SAM2 | FocusNet, state: Mapping[str, Tensor], path: Path) -> None:
    """Load strictly: each tensor has its place, and each place its tensor."""
    # how many batches a normalisation was trained on is of no use here
    state = {name: value for name, value in state.items() if not name.endswith(_COUNTER)}
    wanted = {
        name: value
        for name, value in network.state_dict().items()
        if not name.endswith(_COUNTER)
    }
    problems = []
    missing = [name for name in wanted if name not in state]
    surplus = [name for name in state if name not in wanted]
    misshapen = [
        f"{name} {tuple(state[name].shape)} in place of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in state and state[name].shape != tensor.shape
    ]
    for kind, names in (
        ("missing", missing),
        ("surplus", surplus),
        ("of another shape", misshapen),
    ):
        if names:
            problems.append(f"{len(names)} {kind}: {first_few(names)}")
    if problems:
        raise CheckpointError(
            f"The tensors in the checkpoint {path} do not fit its network; "
            f"{'; '.join(problems)}."
        )
    for name in wanted:
        if state[name].is_floating_point() and not bool(torch.isfinite(state[name]).all()):
            raise CheckpointError(
                f"The checkpoint {path} cannot be used: its tensor {name} has values that "
                "are not finite (NaN or infinite), as training leaves them when it fails. "
                "Take the file of an earlier step, or fetch it again."
            )
    network.load_state_dict(dict(state), strict=False)


def save_checkpoint(
    path: str | Path,
    network_state: Mapping[str, Tensor],
    spec: ModelSpec,
    half: bool = True,
    *,
    training: Mapping[str, object] | None = None,
) -> Path:
    """Write weights and their configuration as safetensors, whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file to write; one that exists is replaced.
    network_state : mapping
        ``network.state_dict()``.
    spec : ModelSpec
        What the file says about the model.
    half : bool
        Store floating point tensors in half precision.
    training : mapping, optional
        How the weights were made; must be JSON.

    Raises
    ------
    CheckpointError
        When a value is not finite, or too large for half precision.
    """
    path = Path(path)
    drawing = spec.drawing
    config = {
        "name": spec.name,
        "family": spec.family,
        "network": dict(spec.network),
        "image_size": spec.image_size,
        "drawing": (
            {"on": False}
            if drawing is None
            else {
                "on": True,
                "amplitude": drawing.amplitude,
                "sigma": drawing.sigma,
                "carry": drawing.carry,
            }
        ),
        "training": dict(training or {}),
    }
    tensors = {}
    for name, tensor in network_state.items():
        stored = tensor.detach().to("cpu", copy=True)
        if stored.is_floating_point():
            stored = stored.half() if half else stored.float()
            if not torch.isfinite(stored).all():
                raise CheckpointError(
                    f"{name} has values that are not finite"
                    f"{' in half precision' if half else ''}; {path} was not written."
                )
        tensors[name] = stored.contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    content = save(tensors, metadata={"config": json.dumps(config)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path
