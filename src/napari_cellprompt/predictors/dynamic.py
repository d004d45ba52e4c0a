"""SAM 2 and 2.1 taught by a few annotated images, predicting the same objects on others.

SAM 2's memory, see Ravi et al. 2024, arXiv:2408.00714, without a video: every memory is
attended to as that of a prompted frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.inference.sam.decoding import LOGIT_LIMIT, PromptBatch
from napari_cellprompt.core.inference.sam.tracking import (
    encode_frames,
    mask_frame,
    prompt_frame,
)
from napari_cellprompt.core.networks.sam.sam2 import SAM2, HeadsOutput, ImageFeatures
from napari_cellprompt.core.results import Results

from .base import SourcePredictor
from .config import DEFAULT_CFG, PredictorConfig, is_whole
from .dynamic_recall import as_output, checked_ids, memories_of, prompted_frames, recall
from .events import Callback
from .memory_bank import ExampleMemory, MemoryBank, MemoryEntry
from .sam2_image import SAM2Predictor
from .sources import iterate_source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DEFAULT_MEMORY_BYTES", "SAM2DynamicInteractivePredictor"]

DEFAULT_MEMORY_BYTES = 256 * 1024**2
"""Budget of the memory bank; a memory takes 0.6 MB with an input of 1024 pixels."""
_HIDDEN = -10.0
"""Logits of an object are at most this where another one covers it."""


class SAM2DynamicInteractivePredictor(SAM2Predictor):
    """Learns objects from prompts on example images and finds them on any other image.

    Memories are kept per object: an example that does not show an object says nothing
    about it.

    Parameters
    ----------
    cfg, overrides, _callbacks
        As for every predictor.
    max_obj_num
        Number of different objects that can be known at once.
    memory_bytes
        Budget of the memory bank; the oldest memories go first.

    Attributes
    ----------
    memory_bank : MemoryBank
        One entry for each call with ``update_memory``.
    non_overlap_masks : bool
        Where masks overlap the higher logit wins, in results only, never in memory.
    use_pointers : bool
        Also attend to the object pointers of the examples, all at distance 0; off, as
        images that are no video have no order in time.

    Examples
    --------
    >>> predictor = SAM2DynamicInteractivePredictor(max_obj_num=5)
    >>> predictor(image, bboxes=[[20, 30, 60, 80]], obj_ids=[1], update_memory=True)
    >>> result = predictor(another_image)[0]
    """

    call_options = SourcePredictor.call_options | {"obj_ids", "update_memory"}

    def __init__(
        self,
        cfg: PredictorConfig | Mapping[str, Any] = DEFAULT_CFG,
        overrides: Mapping[str, Any] | None = None,
        max_obj_num: int = 3,
        _callbacks: Mapping[str, Sequence[Callback]] | None = None,
        *,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
    ) -> None:
        super().__init__(cfg, overrides, _callbacks)
        if not is_whole(max_obj_num):
            raise TypeError(f"max_obj_num must be a whole number: got {max_obj_num!r}.")
        if max_obj_num < 1:
            raise ValueError(f"max_obj_num must be at least 1: got {max_obj_num}.")
        self.max_obj_num = max_obj_num
        self.memory_bank = MemoryBank(memory_bytes)
        self.non_overlap_masks = True
        self.use_pointers = False

    def _forget_model(self) -> None:
        super()._forget_model()
        self.memory_bank.clear()

    @property
    def _network(self) -> SAM2:
        return self.loaded.with_memory

    @property
    def obj_ids(self) -> tuple[int, ...]:
        """The ids of the objects that are known, ascending: the order of all results."""
        return self.memory_bank.obj_ids

    # -- image -----------------------------------------------------------------
    def get_im_features(self, im: Tensor) -> dict[str, Any]:
        """Run the image encoder on ``(1, 3, S, S)``.

        Returns
        -------
        dict
            As of :class:`SAM2Predictor`, but without the no-memory code, with one row
            for each of ``max_obj_num`` objects; the rows share their memory.
        """
        if len(im) != 1:
            raise ValueError(f"im must be one image: got {len(im)}.")
        with torch.inference_mode():
            found = self._encode(im, self._network.frame_features)
        rows = (self.max_obj_num, -1, -1, -1)
        return {
            "image_embed": found.embed.expand(rows),
            "high_res_feats": [level.expand(rows) for level in found.high_res],
        }

    def _current(self) -> ImageFeatures:
        """Features of the current image, one row."""
        if self.features is None:
            raise ImageError("There is no image: give a source or call set_image first.")
        return _first_row(self.features)

    def _decode(
        self, features: Any, batch: PromptBatch, shape: tuple[int, int], *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """As the image predictor, which wants the no-memory code added."""
        seen = self._network.without_memory(_first_row(features))
        ready = {"image_embed": seen.embed, "high_res_feats": list(seen.high_res)}
        return super()._decode(ready, batch, shape, multimask=multimask)

    # -- memory ----------------------------------------------------------------
    def update_memory(
        self,
        obj_ids: int | Iterable[int],
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        *,
        bboxes: Any = None,
    ) -> MemoryEntry:
        """Store what prompts on the current image say about objects, as one entry.

        Parameters
        ----------
        obj_ids
            Any positive numbers, one for each object that is prompted.
        points, labels, bboxes, masks
            See :func:`gather_prompts`. Bool masks are taken as they are and go without
            other prompts; an empty one says that the object is not on this image.
            Float logits refine points and boxes.

        Returns
        -------
        MemoryEntry
            Holds the prompted objects only; all others keep their memories untouched.

        Raises
        ------
        PromptError
            Where ids and prompts do not pair up, or there are too many ids.
        ImageError
            Where there is no image.
        ValueError
            Where ``memory_bytes`` does not hold one memory of each object.
        """
        features = self._current()
        shape = self._source_shape or (self.image_size, self.image_size)
        batch = self._gather(bboxes, points, labels, masks, shape)
        ids = checked_ids(obj_ids, len(batch), self.obj_ids, self.max_obj_num)
        frames = prompted_frames(self.loaded, features, batch, shape)
        # soft: 20 * sigmoid(logit) - 10, as SAM 2 encodes what it has not been told
        frames = encode_frames(self._network, features, frames, binarize=False)
        entry = MemoryEntry(
            {
                obj_id: ExampleMemory(
                    frame.memory, frame.pointer, frame.low_res[0] > 0, frame.object_logit
                )
                for obj_id, frame in zip(ids, frames, strict=True)
                if frame.memory is not None
            }
        )
        self.memory_bank.append(entry)
        return entry

    def remove_object(self, obj_id: int) -> None:
        """Forget one object; the others keep their ids."""
        self.memory_bank.remove_object(obj_id)

    def clear_memory(self) -> None:
        """Forget all objects."""
        self.memory_bank.clear()

    def save_memory(self, path: str | Path) -> Path:
        """Write the memory bank; see :meth:`MemoryBank.save`."""
        return self.memory_bank.save(path, self.loaded)

    def load_memory(self, path: str | Path) -> None:
        """Replace the memory bank by that of a file; see :meth:`MemoryBank.load`.

        Raises
        ------
        ValueError
            Also where the file holds more objects than ``max_obj_num``; nothing is
            changed then.
        """
        bank = MemoryBank.load(path, self.loaded, self.memory_bank.max_bytes)
        if len(bank.obj_ids) > self.max_obj_num:
            raise ValueError(
                f"The memory bank {path} holds {len(bank.obj_ids)} objects, but "
                f"max_obj_num is {self.max_obj_num}: raise it."
            )
        self.memory_bank = bank

    def get_maskmem_enc(
        self, obj_ids: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The memories of objects, joined as memory attention takes them.

        Parameters
        ----------
        obj_ids
            Objects with equally many memories; default all.

        Returns
        -------
        tuple of Tensor
            Features ``(N, E * h * w, mem_dim)``, oldest first, and their positional
            encodings ``(1, E * h * w, mem_dim)`` with the code of prompted frames.

        Raises
        ------
        ValueError
            Where there are no memories, or not equally many.
        """
        ids = self._known(self.obj_ids if obj_ids is None else obj_ids)
        counts = {obj_id: len(self.memory_bank.of(obj_id)) for obj_id in ids}
        if len(set(counts.values())) > 1:
            raise ValueError(
                "Only objects with equally many memories can be joined: got "
                f"{counts}. Name some of them with obj_ids."
            )
        memories = memories_of(self.loaded, self.memory_bank, ids)
        code = self._network.maskmem_tpos_enc[-1].detach()
        return (
            torch.cat([x.features.flatten(2).transpose(1, 2) for x in memories], dim=1),
            torch.cat(
                [x.positions.flatten(2).transpose(1, 2) + code for x in memories], dim=1
            ),
        )

    def _known(self, obj_ids: Sequence[int]) -> list[int]:
        known = self.obj_ids
        if not known:
            raise PromptError(
                "Nothing has been taught yet: give prompts and obj_ids on an example image "
                "with update_memory=True first."
            )
        unknown = sorted(set(obj_ids) - set(known))
        if unknown:
            raise PromptError(f"obj_ids must be among {known}: got {unknown}.")
        return list(obj_ids)

    # -- prediction ------------------------------------------------------------
    @torch.inference_mode()
    def track_step(
        self,
        obj_idx: int | None = None,
        point: Tensor | None = None,
        label: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> HeadsOutput:
        """One object, or all that are known, on the current image.

        Parameters
        ----------
        obj_idx
            The id of an object; None: all that are known, in the order of ``obj_ids``.
        point, label
            ``(1, K, 2)`` pixels of the model's input and ``(1, K)``, box corners first:
            what is prompted is segmented without memory.
        mask
            ``(1, 1, S, S)`` of 0 and 1, taken as it is.

        Returns
        -------
        HeadsOutput
            One row per object. Nothing is stored.

        Raises
        ------
        PromptError
            Where nothing is known of what is asked for.
        """
        features = self._current()
        if mask is not None:
            if point is not None:
                raise PromptError("Give point, or mask, but not both.")
            return as_output(mask_frame(self._network, features, mask), self.image_size)
        if point is not None:
            if label is None:
                label = torch.ones(point.shape[:2], dtype=torch.int32, device=point.device)
            drawing = self.loaded.spec.drawing
            seen = self._network.without_memory(features)
            frames = prompt_frame(
                self._network, seen, point, label, None, drawing=drawing, multimask=False
            )
            return as_output(frames, self.image_size)
        ids = self._known(self.obj_ids if obj_idx is None else [obj_idx])
        return recall(
            self.loaded,
            self.memory_bank,
            features,
            ids,
            use_pointers=self.use_pointers,
        )

    def inference(  # type: ignore[override]  # the published order of the arguments
        self,
        im: Any = None,
        bboxes: Any = None,
        masks: Any = None,
        points: Any = None,
        labels: Any = None,
        obj_ids: int | Iterable[int] | None = None,
        update_memory: bool = False,
        multimask_output: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Teach the prompted objects where asked to, then predict all known objects.

        Parameters
        ----------
        im
            ``(1, 3, S, S)`` as :meth:`preprocess` returns it; None: the image that was
            set.
        bboxes, masks, points, labels, obj_ids
            See :meth:`update_memory`; only with ``update_memory``.
        update_memory
            Store the prompts as a new entry of the memory bank first.
        multimask_output
            Must be False: an object has one mask.

        Returns
        -------
        tuple of Tensor
            Logits ``(N, S/4, S/4)`` and scores ``(N,)``, the sigmoid of the object
            logit, in the order of ``obj_ids``.
        """
        if multimask_output:
            raise ValueError("multimask_output must be False: memory gives one mask each.")
        if im is not None and im is not self.im:
            self.reset_image()
            self.features, self.im = self.get_im_features(im), im
        prompts = self._take_prompts(
            bboxes=bboxes, points=points, labels=labels, masks=masks
        )
        if update_memory:
            self.update_memory(obj_ids, **prompts)  # type: ignore[arg-type]
        elif any(value is not None for value in (*prompts.values(), obj_ids)):
            raise PromptError(
                "Prompts and obj_ids teach objects: give them with update_memory=True, or "
                "leave them out to predict from memory."
            )
        out = self.track_step()
        return out.low_res[:, 0], out.object_logits[:, 0].float().sigmoid()

    def _stream(
        self,
        prompts: dict[str, Any],
        *,
        obj_ids: int | Iterable[int] | None = None,
        update_memory: bool = False,
        **kwargs: Any,
    ) -> Iterator[Results]:
        """As every predictor, with the arguments of :meth:`inference`."""
        if update_memory and self._image is None and self.dataset is not None:
            images = sum(1 for _ in islice(iterate_source(self.dataset), 2))
            if images > 1:
                raise ImageError(
                    "update_memory takes exactly one image, the one that the prompts "
                    "belong to: got more than one."
                )
        if not update_memory:
            self._known(())  # before an image is encoded in vain
        extra = {"obj_ids": obj_ids, "update_memory": update_memory}
        yield from super()._stream(prompts | extra, **kwargs)

    def postprocess(
        self,
        preds: tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor],
        img: Any,
        orig_imgs: Sequence[NDArray[np.generic]],
    ) -> list[Results]:
        """As the image predictor, then the constraint that masks do not overlap.

        ``preds`` are those of :meth:`inference`: ``ids`` of the result are the object ids.
        """
        image = orig_imgs[0]
        shape = (int(image.shape[0]), int(image.shape[1]))
        with torch.inference_mode():
            logits, scores = preds[:2]
            full = self._to_source(logits, shape)
            if self.non_overlap_masks and len(full) > 1:
                rows = torch.arange(len(full), device=full.device)[:, None, None]
                hidden = full.argmax(dim=0) != rows
                full = torch.where(hidden, full.clamp(max=_HIDDEN), full)
        result = self._results(
            full, scores, logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT), shape, image
        )
        result.ids = self.obj_ids
        return [result]


def _first_row(features: Mapping[str, Any]) -> ImageFeatures:
    """The rows are all the same; attention and decoder take one."""
    low, high = features["high_res_feats"]
    return ImageFeatures(features["image_embed"][:1], (low[:1], high[:1]))
