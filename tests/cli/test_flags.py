"""Defaults are typed once: what is not said on the command line is what the class says."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from napari_cellprompt.cli import evaluate, everything, fewshot, propagate, segment
from napari_cellprompt.cli.flags import filled
from napari_cellprompt.cli.main import main
from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.core.propagate.types import PropagationSettings
from napari_cellprompt.evaluation.request import EvaluateRequest
from napari_cellprompt.tasks.requests import (
    EverythingRequest,
    FewshotRequest,
    PropagateRequest,
    SegmentRequest,
)

OUT = Path("out")
WANTED = [
    (
        ["segment", "a", "--prompts", "p", "-o", "out"],
        segment,
        SegmentRequest(image=Path("a"), prompts=Path("p"), output=OUT),
    ),
    (
        ["propagate", "a", "--prompts", "p", "-o", "out"],
        propagate,
        PropagateRequest(
            image=Path("a"), prompts=Path("p"), output=OUT, settings=PropagationSettings()
        ),
    ),
    (
        ["everything", "a", "-o", "out"],
        everything,
        EverythingRequest(image=Path("a"), output=OUT, filters=FilterSettings()),
    ),
    (
        ["fewshot", "--apply", "in", "-o", "out"],
        fewshot,
        FewshotRequest(folder=Path("in"), output=OUT),
    ),
    (["evaluate", "in"], evaluate, EvaluateRequest(folder=Path("in"))),
]


@pytest.mark.parametrize(
    ("line", "module", "wanted"), WANTED, ids=[line[0] for line, _, _ in WANTED]
)
def test_nothing_said_gives_the_defaults(line, module, wanted, monkeypatch) -> None:
    requests: list[object] = []

    def keep(kind: type, arguments: argparse.Namespace, **values: object) -> object:
        request = filled(kind, arguments, **values)
        requests.append(request)
        return request

    class StopHere(Exception):
        """Before any work."""

    def stop(json_lines: bool = False) -> None:
        raise StopHere

    monkeypatch.setattr(module, "filled", keep)
    monkeypatch.setattr(module, "printed_report", stop)
    assert main(line) == 1
    assert requests[-1] == wanted


def test_help_shows_the_settings_defaults(capsys) -> None:
    assert main(["propagate", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    settings = PropagationSettings()
    for text in (
        f"farther than their size (default: {settings.stop_overlap})",
        f"are forgotten (default: {settings.track.max_memories})",
    ):
        assert text in shown


def test_what_a_class_refuses_is_a_sentence() -> None:
    with pytest.raises(ImageError, match="min_area must not be negative"):
        filled(FilterSettings, argparse.Namespace(min_area=-1.0))
