from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
from tests.interpreters import run_python

from napari_cellprompt.cli import segment
from napari_cellprompt.cli.main import main
from napari_cellprompt.core.errors import DownloadError, OutOfMemoryError, PromptError

ARGUMENTS = ["segment", "a.tif", "--prompts", "p.json", "-o", "out.tif"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    version = importlib.metadata.version("napari-cellprompt")
    assert capsys.readouterr().out == f"cellprompt {version}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["paint"], ["segment"], ["segment", "a.tif"], [*ARGUMENTS, "--contrast", "1"]],
    ids=["nothing", "unknown", "no image", "no prompts", "half a contrast"],
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage: cellprompt" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["segment"], ["demo"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    assert "usage: cellprompt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PromptError("the box is inside out."), 2, "cellprompt: the box is inside out."),
        (DownloadError("no network."), 1, "cellprompt: no network."),
        (OutOfMemoryError("too large."), 1, "cellprompt: too large."),
        (KeyError("x"), 1, "this should not have happened: KeyError: 'x'"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: Any) -> None:
        raise error

    monkeypatch.setattr(segment, "run_segment", fail)
    assert main(ARGUMENTS) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Any) -> None:
        raise PromptError("no.")

    monkeypatch.setattr(segment, "run_segment", fail)
    assert main([*ARGUMENTS, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_checkpoint_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"nothing of the kind")
    assert main(["demo", "--model", str(weights), "-o", str(tmp_path / "out")]) == 2
    assert "weights.safetensors" in capsys.readouterr().err


def test_as_a_module() -> None:
    answer = run_python("-m", "napari_cellprompt", "--version")
    assert answer.returncode == 0
    assert answer.stdout.startswith("cellprompt ")


def test_help_needs_neither_torch_nor_napari() -> None:
    code = (
        "import sys; from napari_cellprompt.cli.main import main; main(['--help'])\n"
        "sys.exit(bool({'torch', 'napari', 'qtpy'} & set(sys.modules)))"
    )
    answer = run_python("-c", code)
    assert answer.returncode == 0
