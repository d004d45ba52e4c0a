"""``cellprompt models`` and ``cellprompt doctor``."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from tests.interpreters import environment

from napari_cellprompt.cli.main import main
from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.zoo import registry
from napari_cellprompt.core.zoo.load import load_model
from napari_cellprompt.core.zoo.registry import MODELS, NETWORKS, WeightsSource
from napari_cellprompt.core.zoo.user_models import models_here, user_models
from napari_cellprompt.tasks.doctor import Timings, report


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLPROMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of the small network under a name of the user's."""
    torch.manual_seed(0)
    network = build_sam2(image_size=512, **dict(NETWORKS["nano"]))
    path = tmp_path / "my cells.pt"
    torch.save({"model": network.state_dict()}, path)
    return path


def test_list_names_every_model_within_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(MODELS)
    assert max(map(len, lines)) <= 80
    assert "bundled" in lines[1]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell with head")
def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m napari_cellprompt models list | head -1"
    run = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=True, env=environment()
    )
    assert run.stdout.startswith("MODEL") and run.stderr == ""


def test_info_shows_licence_and_digest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", "vit_b_lm"]) == 0
    told = capsys.readouterr().out
    assert "xxh128:fe9252a29f3f4ea53c15a06de471e186" in told
    assert "licence" in told and "not on this computer" in told


def test_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", "sam3"]) == 2
    assert "Known models" in capsys.readouterr().err


def test_import_use_and_remove(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["models", "import", str(weights), "--name", "mine", "--image-size", "256"]
    assert main(command) == 0
    assert "SAM 2, input 256 x 256" in capsys.readouterr().out
    assert "mine" in models_here()
    model = load_model("mine")
    assert model.spec.name == "mine" and model.network.image_size == 256
    assert main(["models", "path", "mine"]) == 0
    assert capsys.readouterr().out.strip() == str(weights)
    assert main(["models", "remove", "mine"]) == 0
    assert weights.is_file(), "the user's file must stay"
    assert user_models() == {}
    assert main(["models", "path", "mine"]) == 2


def test_a_file_that_went_missing_is_a_sentence(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["models", "import", str(weights)])
    weights.unlink()
    capsys.readouterr()
    assert main(["models", "path", "my cells"]) == 2
    assert "no longer" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["sam_vit_b", "cellprompt-nano", "a/b", " "])
def test_names_that_cannot_be_taken(
    weights: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "import", str(weights), "--name", name]) == 2
    assert capsys.readouterr().err.startswith("cellprompt: ")
    assert user_models() == {}


def test_a_damaged_file_is_not_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(b"nothing of use")
    assert main(["models", "import", str(path)]) == 2
    assert "broken.pt" in capsys.readouterr().err
    assert user_models() == {}


def test_a_damaged_list_is_a_sentence(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache.mkdir()
    (cache / "user_models.json").write_text("{")
    assert main(["models", "list"]) == 2
    assert "user_models.json" in capsys.readouterr().err


def test_medsam2_is_imported_at_its_size(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "download", "medsam2", "--yes"]) == 1
    assert "models import" in capsys.readouterr().err
    assert main(["models", "import", str(weights), "--name", "medsam2"]) == 0
    assert user_models()["medsam2"].image_size == 512


@pytest.fixture
def published(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A model whose weights a local server has."""
    folder = weights.parent

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    source = WeightsSource(
        "nano-copy.pt",
        f"http://127.0.0.1:{server.server_port}/my%20cells.pt",
        f"sha256:{digest}",
        weights.stat().st_size,
    )
    spec = replace(
        MODELS["cellprompt-nano"],
        name="nano-copy",
        source=source,
        bundled=False,
        licence="a licence of its own",
    )
    monkeypatch.setattr(registry, "MODELS", {**MODELS, "nano-copy": spec})
    yield "nano-copy"
    server.shutdown()
    server.server_close()


def test_download_wants_the_licence_accepted(
    published: str, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "download", published]) == 2
    told = capsys.readouterr()
    assert "a licence of its own" in told.out and "--yes" in told.err
    assert not cache.exists()


def test_download_verifies_and_saves(
    published: str, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "download", published, "--yes"]) == 0
    told = capsys.readouterr()
    assert "Verified" in told.err and "100%" in told.err
    assert (cache / "nano-copy.pt").is_file()
    assert main(["models", "download", published, "--yes"]) == 0
    assert "here already" in capsys.readouterr().out


def test_doctor_measures_a_click(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    for part in ("python", "torch", "memory", "float32", "next click", "models"):
        assert part in told
    assert max(map(len, told.splitlines())) < 120


def test_doctor_reports_a_failure_and_goes_on() -> None:
    def fail() -> Timings:
        raise RuntimeError("the driver is too old")

    assert "failed: RuntimeError: the driver is too old" in report(timer=fail)
