"""What a start costs: nothing heavy is loaded before it is needed."""

from __future__ import annotations

import importlib.metadata

import pytest
from tests.interpreters import run_python

import napari_cellprompt

resource = pytest.importorskip("resource", reason="only Unix tells processor time")

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
    "shtab",
    "skimage",
    "tifffile",
    "tqdm",
    "torch",
    "torchvision",
}
"""Each takes from a tenth of a second to several to import."""


def loaded_by(code: str) -> set[str]:
    """Top-level modules of a fresh interpreter at its end."""
    tail = "\nimport sys\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"
    answer = run_python("-c", code + tail)
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
        for command in (
            "segment",
            "evaluate",
            "propagate",
            "everything",
            "fewshot",
            "batch",
        )
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


def test_opening_a_widget_loads_no_library_that_waits_for_its_use() -> None:
    """napari imports the widgets on the thread of the window, which stands meanwhile."""
    names = ("segment.widget", "propagate.widget", "everything.widget", "fewshot.widget")
    imports = "\n".join(f"import napari_cellprompt.widgets.{name}" for name in names)
    answer = run_python("-c", imports + "\nimport sys\nprint(*sorted(sys.modules))")
    assert answer.returncode == 0, answer.stderr
    slow = {"torch", "scipy.ndimage", "scipy.signal", "scipy.stats", "scipy.interpolate"}
    assert slow.isdisjoint(answer.stdout.split())


def test_import_loads_little_more_than_the_interpreter() -> None:
    plain = loaded_by("import importlib, typing, __future__")
    more = loaded_by("import napari_cellprompt") - plain
    assert more == {"napari_cellprompt"}


@pytest.mark.alone
@pytest.mark.parametrize(
    ("code", "seconds"),
    [
        pytest.param("import napari_cellprompt", 0.3, id="import"),
        pytest.param(asked("--help"), 0.5, id="help"),
    ],
)
def test_a_start_takes_little_of_the_processor(code: str, seconds: float) -> None:
    """Processor time, which other work on the machine does not change much; the least of
    three, with half of it as a margin."""
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        loaded_by(code)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        times.append(used)
    assert min(times) < 1.5 * seconds


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
