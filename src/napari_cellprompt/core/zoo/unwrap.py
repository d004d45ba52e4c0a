"""Finds a network's tensors in what training leaves around them.

Training wraps names (``module.`` of data-parallel training, ``_orig_mod.`` of
``torch.compile``, ``model.`` of a module that holds the network) and mappings
(``state_dict``, ``model_state_dict``, ``ema``), in any combination. The names by which a
network is known here say where it begins, whatever is around them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from napari_cellprompt.core.errors import CheckpointError

__all__ = ["find_network"]

_log = logging.getLogger(__name__)

_ENCODERS = frozenset({"image_encoder", "vision_encoder"})
"""How the names of Meta's and of Hugging Face's networks begin."""
_WRAPPERS = frozenset(
    {
        "module",
        "_orig_mod",
        "_forward_module",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
    }
)
"""Parts that wrapping adds to names, also in their middle; no network has them."""
_USUAL = frozenset(
    {"model", "model_state", "model_state_dict", "net", "network", "state_dict", "weights"}
)
"""Under which keys training keeps its network."""
_AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|shadow)([._]|$)", re.IGNORECASE)
_DEEPEST = 5


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A network's tensors at one place of a file."""

    place: tuple[str, ...]
    """The keys on the way there and the parts that stand before all names."""
    state: dict[str, Tensor]

    @property
    def is_averaged(self) -> bool:
        """Whether it is a running average of the weights."""
        return any(_AVERAGED.search(part) for part in self.place)

    @property
    def is_usual(self) -> bool:
        """Whether nothing but usual wrappers leads to it."""
        return all(part in _USUAL or part in _WRAPPERS for part in self.place)


def find_network(payload: Mapping[Any, Any]) -> dict[str, Tensor] | None:
    """The tensors of the network that a file holds, under its own names.

    Of several copies of one network the running average of its weights is taken, which
    is what its training meant to be used; else the one under the usual keys.

    Parameters
    ----------
    payload
        Tensors and mappings of them, by name.

    Returns
    -------
    dict or None
        None where no name is that of a network known here.

    Raises
    ------
    CheckpointError
        Where there are several networks and nothing says which is meant.
    """
    found = list(_candidates(payload, ()))
    if not found:
        return None
    chosen = _choose(found)
    if len(found) > 1:
        _log.info(
            "of %d copies of the weights that of %s is used",
            len(found),
            ".".join(chosen.place) or "the top",
        )
    return chosen.state


def _choose(found: list[_Candidate]) -> _Candidate:
    # an average may lack what was not trained, and does not make a network then
    names = max((set(item.state) for item in found), key=len)
    whole = [item for item in found if set(item.state) == names]
    for wanted in (
        found if len(found) == 1 else [],
        [item for item in whole if item.is_averaged],
        [item for item in whole if item.is_usual],
    ):
        if len(wanted) == 1 and all(set(item.state) <= names for item in found):
            return wanted[0]
    places = ", ".join(".".join(item.place) or "the top" for item in found)
    raise CheckpointError(
        f"It holds {len(found)} networks, at {places}, and nothing says which is meant: "
        "save the one that you mean alone, torch.save(network.state_dict(), FILE)."
    )


def _candidates(payload: Mapping[Any, Any], place: tuple[str, ...]) -> Iterator[_Candidate]:
    tensors = {
        tuple(name.split(".")): tensor
        for name, tensor in payload.items()
        if isinstance(name, str) and isinstance(tensor, Tensor)
    }
    prefixes = {
        parts[: parts.index(encoder)]
        for parts in tensors
        for encoder in _ENCODERS.intersection(parts[:-1])
    }
    groups: dict[tuple[str, ...], dict[str, Tensor]] = {prefix: {} for prefix in prefixes}
    for parts, tensor in tensors.items():
        around = [prefix for prefix in prefixes if parts[: len(prefix)] == prefix]
        if around:
            prefix = max(around, key=len)
            kept = (part for part in parts[len(prefix) :] if part not in _WRAPPERS)
            groups[prefix][".".join(kept)] = tensor
    for prefix, state in groups.items():
        yield _Candidate((*place, *prefix), state)
    if len(place) < _DEEPEST:
        for key, value in payload.items():
            if isinstance(key, str) and isinstance(value, Mapping):
                yield from _candidates(value, (*place, key))
