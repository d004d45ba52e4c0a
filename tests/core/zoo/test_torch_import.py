"""Torch is loaded while the other threads of the process go on."""

from __future__ import annotations

import gc
import json
import sys
import weakref

import pytest
from tests.interpreters import run_python

from napari_cellprompt.core.zoo.torch_import import (
    collector_at_rest,
    load_libraries,
    load_torch,
)

LOADED_IN_A_THREAD = """
import json, sys, threading, time
from napari_cellprompt.core.zoo.torch_import import load_libraries

found = {}

def load():
    begun = time.perf_counter()
    found["names"] = [path.name for path in load_libraries()]
    found["seconds"] = time.perf_counter() - begun

thread = threading.Thread(target=load)
thread.start()
found["gap"], last = 0.0, time.perf_counter()
while thread.is_alive():
    time.sleep(0.001)
    now = time.perf_counter()
    found["gap"], last = max(found["gap"], now - last), now
found["imported"] = "torch" in sys.modules
import torch
found["sum"] = float(torch.ones(3).sum())
print(json.dumps(found))
"""

COLLECTED = """
import gc, json
from napari_cellprompt.core.zoo.torch_import import load_torch

started = []
gc.callbacks.append(lambda phase, info: started.append((phase, info["generation"])))
before = len(gc.get_objects())
load_torch()
during = len(started)
made = len(gc.get_objects()) - before
kept = [[] for _ in range(20_000)]
full = sum(1 for phase, generation in started if phase == "start" and generation == 2)
print(json.dumps({"during": during, "made": made, "full": full, "on": gc.isenabled()}))
"""


def answer(code: str) -> dict[str, object]:
    run = run_python("-c", code)
    assert run.returncode == 0, run.stderr
    found: dict[str, object] = json.loads(run.stdout.splitlines()[-1])
    return found


@pytest.mark.alone
@pytest.mark.skipif(sys.platform == "win32", reason="torch itself does it there")
def test_other_threads_run_while_the_libraries_are_loaded() -> None:
    found = answer(LOADED_IN_A_THREAD)
    assert [name.partition(".")[0] for name in found["names"]] == [
        "libtorch_global_deps",
        "libtorch",
    ]
    assert found["imported"] is False
    assert found["sum"] == 3
    # who holds Python's lock meanwhile stops the others for all of that time
    assert found["gap"] < max(0.5 * found["seconds"], 0.05)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="collections go step by step there")
def test_what_torch_brings_is_not_gone_through() -> None:
    found = answer(COLLECTED)
    assert found["made"] > 50_000
    assert found["during"] == 0
    assert found["full"] == 0
    assert found["on"] is True


def test_whatever_comes_first_loads_the_libraries_first() -> None:
    """The list of models asks for the GPU, on a thread of its own."""
    found = answer(
        "import json, sys\n"
        "import napari_cellprompt.core.zoo.torch_import as torch_import\n"
        "from napari_cellprompt.core.inference.precision import gpu_bytes\n"
        "seen = []\n"
        "torch_import.load_libraries = lambda: seen.append('torch' in sys.modules)\n"
        "gpu_bytes()\n"
        "gpu_bytes()\n"
        "print(json.dumps({'seen': seen, 'torch': 'torch' in sys.modules}))"
    )
    assert found == {"seen": [False], "torch": True}


def test_a_second_load_does_nothing() -> None:
    load_torch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_cellprompt.core.zoo.torch_import.load_libraries", None)
        load_torch()


def test_where_there_is_no_torch_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert load_libraries() == []


class Node:
    """Can be in a circle."""


def test_older_objects_are_still_collected_afterwards() -> None:
    frozen = gc.get_freeze_count()
    node = Node()
    node.itself = node
    reference = weakref.ref(node)
    with collector_at_rest():
        assert not gc.isenabled()
        del node
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
    gc.collect()
    assert reference() is None


def test_who_has_switched_the_collector_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with pytest.raises(ZeroDivisionError), collector_at_rest():
            1 / 0  # noqa: B018
        assert not gc.isenabled()
    finally:
        gc.enable()
