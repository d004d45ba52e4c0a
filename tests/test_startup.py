"""What a start costs: nothing heavy is loaded before it is needed."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

import napari_cellprompt

HEAVY = {
    "PIL",
    "dask",
    "magicgui",
    "napari",
    "numpy",
    "pandas",
    "pint",
    "pooch",
    "qtpy",
    "requests",
    "safetensors",
    "scipy",
    "skimage",
    "tifffile",
    "torch",
    "torchvision",
}
"""Each takes from a tenth of a second to several to import."""


def loaded_by(code: str) -> set[str]:
    """Top-level modules of a fresh interpreter at its end."""
    tail = "\nimport sys\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
    # the package as it is tested here, and nothing of the current folder
    source = str(Path(napari_cellprompt.__file__).parents[1])
    answer = subprocess.run(
        [sys.executable, "-s", "-P", "-c", code + tail],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.splitlines()[-1].split())


def asked(*arguments: str) -> str:
    """Code that runs the command line with arguments."""
    return (
        f"from napari_cellprompt.cli.main import main\nassert main({[*arguments]!r}) == 0"
    )


HELP = (
    ["--help"],
    ["--version"],
    *(
        [command, "--help"]
        for command in ("segment", "evaluate", "propagate", "everything", "fewshot")
    ),
    ["models", "list", "--help"],
)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            "import napari_cellprompt\nnapari_cellprompt.__version__", id="import"
        ),
        pytest.param("\n".join(asked(*line) for line in HELP), id="help"),
        pytest.param("import napari_cellprompt.tasks.inputs.loading", id="loading"),
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert loaded_by(code).isdisjoint(HEAVY)


def test_import_loads_little_more_than_the_interpreter() -> None:
    plain = loaded_by("import importlib, typing, __future__")
    more = loaded_by("import napari_cellprompt") - plain
    assert more == {"napari_cellprompt"}


def test_the_list_of_models_needs_no_torch() -> None:
    assert loaded_by(asked("models", "list")).isdisjoint({"numpy", "torch", "requests"})


def test_version_is_that_of_the_installation() -> None:
    installed = importlib.metadata.version("napari-cellprompt")
    assert napari_cellprompt.__version__ == installed
    assert "__version__" in dir(napari_cellprompt)


def test_every_public_name_is_there() -> None:
    for name in napari_cellprompt.__all__:
        assert getattr(napari_cellprompt, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_cellprompt.nothing
