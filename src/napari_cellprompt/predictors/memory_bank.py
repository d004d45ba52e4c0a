"""What a few annotated examples taught about each object, in memory and in a file."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import CheckpointError
from napari_cellprompt.core.inference.fingerprint import model_fingerprint
from napari_cellprompt.core.zoo.load import LoadedModel

__all__ = ["ExampleMemory", "MemoryBank", "MemoryEntry"]

_log = logging.getLogger(__name__)

_FORMAT = "napari-cellprompt memory bank"
_VERSION = 2


@dataclass(frozen=True, slots=True, eq=False)
class ExampleMemory:
    """One object on one example image."""

    memory: Tensor
    """``(mem_dim, h, w)`` bfloat16."""
    pointer: Tensor
    """``(D,)`` float32, the object pointer."""
    mask: Tensor
    """``(S/4, S/4)`` bool, what was taken as the object."""
    object_logit: float
    """Above 0 the object is on the image."""

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take, in bytes."""
        tensors = (self.memory, self.pointer, self.mask)
        return sum(x.numel() * x.element_size() for x in tensors)


@dataclass(slots=True, eq=False)
class MemoryEntry:
    """One example image: the objects that were shown on it, and no others."""

    objects: dict[int, ExampleMemory] = field(default_factory=dict)
    """By object id."""

    @property
    def nbytes(self) -> int:
        """Memory that the entry takes, in bytes."""
        return sum(item.nbytes for item in self.objects.values())


class MemoryBank(Sequence[MemoryEntry]):
    """Entries, oldest first, within a budget.

    When the budget is exceeded the oldest memories go first, but each object keeps its
    newest one: no object is forgotten to make room for another.

    Parameters
    ----------
    max_bytes
        The budget.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes <= 0:
            raise ValueError(f"max_bytes must be positive: got {max_bytes}.")
        self.max_bytes = max_bytes
        self._entries: list[MemoryEntry] = []

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._entries)

    def __getitem__(self, index: Any) -> Any:
        """One entry, or a list of them for a slice."""
        return self._entries[index]

    def __iter__(self) -> Iterator[MemoryEntry]:
        """Oldest first."""
        return iter(self._entries)

    @property
    def nbytes(self) -> int:
        """Memory that all entries take, in bytes."""
        return sum(entry.nbytes for entry in self._entries)

    @property
    def obj_ids(self) -> tuple[int, ...]:
        """The ids of all objects, ascending."""
        return tuple(sorted({i for entry in self._entries for i in entry.objects}))

    def of(self, obj_id: int) -> list[ExampleMemory]:
        """The memories of one object, oldest first."""
        return [e.objects[obj_id] for e in self._entries if obj_id in e.objects]

    def append(self, entry: MemoryEntry) -> None:
        """Add an entry; the oldest memories go where the budget is exceeded.

        Raises
        ------
        ValueError
            Where the newest memory of each object alone exceeds the budget; nothing is
            changed then.
        """
        newest = {
            i: x.nbytes for e in (*self._entries, entry) for i, x in e.objects.items()
        }
        if sum(newest.values()) > self.max_bytes:
            raise ValueError(
                f"one memory of each of {len(newest)} objects takes "
                f"{sum(newest.values())} bytes, more than the budget of {self.max_bytes}: "
                "raise memory_bytes."
            )
        self._entries.append(entry)
        self._evict()

    def _evict(self) -> None:
        dropped = 0
        left = {obj_id: len(self.of(obj_id)) for obj_id in self.obj_ids}
        excess = self.nbytes - self.max_bytes
        for entry in self._entries:
            for obj_id in list(entry.objects):
                if excess > 0 and left[obj_id] > 1:
                    excess -= entry.objects.pop(obj_id).nbytes
                    left[obj_id] -= 1
                    dropped += 1
        if dropped:
            self._drop_empty()
            _log.warning(
                "The memory bank is full: the %d oldest memories were forgotten.", dropped
            )

    def remove_object(self, obj_id: int) -> None:
        """Forget one object.

        Raises
        ------
        ValueError
            Where there is no such object.
        """
        if obj_id not in self.obj_ids:
            raise ValueError(f"obj_id must be one of {self.obj_ids}: got {obj_id}.")
        for entry in self._entries:
            entry.objects.pop(obj_id, None)
        self._drop_empty()

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def _drop_empty(self) -> None:
        self._entries = [entry for entry in self._entries if entry.objects]

    # -- files -----------------------------------------------------------------
    def save(self, path: str | Path, model: LoadedModel) -> Path:
        """Write the bank as one safetensors file, whole or not at all.

        Parameters
        ----------
        path
            A file that exists is replaced.
        model
            The model that made the memories; only the same one can use them.

        Raises
        ------
        ValueError
            Where the bank is empty.
        SaveError
            Where the file cannot be written.
        """
        if not self._entries:
            raise ValueError("The memory bank is empty: there is nothing to save.")
        tensors: dict[str, Tensor] = {}
        for number, entry in enumerate(self._entries):
            for obj_id, item in entry.objects.items():
                for name in ("memory", "pointer", "mask"):
                    value = getattr(item, name)
                    tensors[f"{number}.{obj_id}.{name}"] = value.cpu().contiguous()
        about = {
            "format": _FORMAT,
            "version": _VERSION,
            "model": model.spec.name,
            "fingerprint": model_fingerprint(model),
            "image_size": model.sam.image_size,
            "entries": [
                {str(obj_id): item.object_logit for obj_id, item in entry.objects.items()}
                for entry in self._entries
            ],
        }
        target = Path(path)
        with replacing(target) as temporary:
            save_file(tensors, str(temporary), metadata={"bank": json.dumps(about)})
        return target

    @classmethod
    def load(cls, path: str | Path, model: LoadedModel, max_bytes: int) -> MemoryBank:
        """Read a bank that :meth:`save` wrote.

        Parameters
        ----------
        path
            The file.
        model
            Must have the weights and the input size that the bank was made with.
        max_bytes
            Budget; of a larger bank the oldest memories are left out.

        Raises
        ------
        CheckpointError
            Where the file is damaged, no memory bank, or of another model.
        """
        try:
            with safe_open(str(path), framework="pt", device="cpu") as file:
                text = (file.metadata() or {}).get("bank")
                # read whole only where it says what it is: it may be a large checkpoint
                names = file.keys() if text is not None else []
                tensors = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(
                f"The memory bank {path} cannot be read ({error}): it is missing, damaged "
                "or no file of this kind."
            ) from error
        entries = _check_about(path, text, model)
        bank = cls(max_bytes)
        for number, logits in enumerate(entries):
            try:
                entry = MemoryEntry(
                    {
                        int(key): _example(tensors, f"{number}.{key}", logit, model)
                        for key, logit in logits.items()
                    }
                )
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise CheckpointError(
                    f"Entry {number} of the memory bank {path} is damaged ({error})."
                ) from error
            bank.append(entry)
        return bank


def _check_about(path: str | Path, text: str | None, model: LoadedModel) -> list[Any]:
    """What the metadata say of the entries, once they are known to fit the model."""
    try:
        about = json.loads(text or "null")
    except ValueError as error:
        raise CheckpointError(
            f"The description in the memory bank {path} is not valid JSON ({error})."
        ) from error
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is not a memory bank of this plugin.")
    version = about.get("version")
    if version == 1:
        raise CheckpointError(
            f"The memory bank {path} was made by an earlier version of this plugin, which "
            "named models in another way: teach the objects again."
        )
    if version != _VERSION:
        raise CheckpointError(
            f"The memory bank {path} has the version {version}, this plugin reads version "
            f"{_VERSION}: update the plugin."
        )
    network = model.sam
    if about.get("image_size") != network.image_size:
        raise CheckpointError(
            f"The memory bank {path} was made with imgsz={about.get('image_size')}, the "
            f"model is set to {network.image_size}: use the same."
        )
    if about.get("fingerprint") != model_fingerprint(model):
        raise CheckpointError(
            f"The memory bank {path} was made by the model {about.get('model')}, whose "
            f"weights are not those of {model.spec.name}: choose that model, or teach the "
            "objects again."
        )
    entries = about.get("entries")
    if not isinstance(entries, list) or not entries:
        raise CheckpointError(f"The memory bank {path} lists no entries.")
    return entries


def _example(
    tensors: dict[str, Tensor], key: str, logit: Any, model: LoadedModel
) -> ExampleMemory:
    network = model.with_memory
    quarter = network.image_size // 4
    expected = {
        "memory": (network.memory_shape, torch.bfloat16),
        "pointer": ((network.dim,), torch.float32),
        "mask": ((quarter, quarter), torch.bool),
    }
    parts = {}
    for name, (shape, dtype) in expected.items():
        part = tensors[f"{key}.{name}"]
        if tuple(part.shape) != shape or part.dtype != dtype:
            raise ValueError(
                f"{name} must be {dtype} {shape}: got {part.dtype} {tuple(part.shape)}"
            )
        if not bool(torch.isfinite(part).all()):
            raise ValueError(f"{name} is not finite")
        parts[name] = part.to(model.device)
    if int(key.split(".")[1]) < 1 or not math.isfinite(float(logit)):
        raise ValueError("an id is not positive or a score is not finite")
    return ExampleMemory(**parts, object_logit=float(logit))
