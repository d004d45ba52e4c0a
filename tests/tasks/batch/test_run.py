"""Batches on workers in processes of their own, with real trouble."""

from __future__ import annotations

import contextlib
import csv
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.tasks.batch.run import run
from napari_cellprompt.tasks.report import Report

from .conftest import labels_in


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "report.csv").open() as file:
        return {Path(row["image"]).stem: row for row in csv.DictReader(file)}


@pytest.fixture
def wanted(asked, tmp_path: Path) -> dict[str, bytes]:
    """What an undisturbed run writes."""
    summary = run(asked(output="undisturbed"))
    assert summary.complete
    assert not summary.failed
    return labels_in(tmp_path / "undisturbed")


def test_a_worker_that_dies_loses_its_item_only(asked, wanted, tmp_path: Path) -> None:
    count = tmp_path / "count"
    summary = run(asked("kill: img_3", f"count: {count}", "seconds: .1"))
    assert summary.complete
    assert not summary.failed
    assert labels_in(tmp_path / "out") == wanted
    worked = [line.split()[0] for line in count.read_text().splitlines()]
    assert len(wanted) == 6
    assert worked.count("img_3") == 2
    assert len(set(worked)) == 6


def test_bad_images_among_good_ones(asked, wanted, images: Path, tmp_path: Path) -> None:
    bad = images / "img_0.tif"
    good = bad.read_bytes()
    bad.write_bytes(good[:300])
    (images / "empty.png").touch()
    told = []
    summary = run(asked("stumble: img_2"), told=told.append)
    assert summary.complete
    assert {item.name for item in summary.failed} == {"img_0", "empty"}
    found = labels_in(tmp_path / "out")
    assert found == {k: v for k, v in wanted.items() if k != "img_0_labels.tif"}
    table = rows(tmp_path / "out")
    assert "is empty" in table["empty"]["reason"]
    assert table["img_0"]["state"] == "failed"
    assert table["img_0"]["reason"]
    assert table["img_2"]["attempts"] == "2"
    assert len(told) == 7
    # mended, it is all that is done
    bad.write_bytes(good)
    (images / "empty.png").unlink()
    summary = run(asked("stumble: img_2"))
    states = {item.name: item.state for item in summary.outcomes}
    assert states.pop("img_0") == "done"
    assert set(states.values()) == {"skipped"}
    assert labels_in(tmp_path / "out") == wanted


def test_what_kills_every_worker_is_given_up(asked, wanted, tmp_path: Path) -> None:
    summary = run(asked("kill_always: img_5"))
    assert [item.name for item in summary.failed] == ["img_5"]
    assert "died each time" in summary.failed[0].reason
    assert labels_in(tmp_path / "out") == {
        k: v for k, v in wanted.items() if k != "img_5_labels.tif"
    }


def test_it_goes_on_where_it_was_stopped(asked, wanted, tmp_path: Path) -> None:
    stop = threading.Event()
    count = tmp_path / "count"
    lines = ("seconds: .2", f"count: {count}")
    summary = run(asked(*lines), Report(cancelled=stop.is_set), told=lambda _: stop.set())
    assert not summary.complete
    states = [item.state for item in summary.outcomes]
    assert 0 < states.count("done") < 6
    assert states.count("not started") == 6 - states.count("done")
    # as a worker leaves it that dies while it writes
    (tmp_path / "out" / ".img_1_labels.tif.1234.tmp").write_bytes(b"half")
    summary = run(asked(*lines))
    assert summary.complete
    assert labels_in(tmp_path / "out") == wanted
    assert len(count.read_text().splitlines()) == 6
    assert not list((tmp_path / "out").glob(".*.tmp"))


def test_a_full_disk(asked, wanted, tmp_path: Path, monkeypatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be made here: {mounted.stderr.strip()}")
    try:
        filler = disk / "filler"
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        lines = ("seconds: .3",)
        request = asked(*lines, output="disk/out")

        def fill(outcome: object) -> None:
            with filler.open("ab", buffering=0) as file:
                try:
                    while file.write(b"0" * 4096):
                        pass
                except OSError:
                    pass

        summary = run(request, told=fill)
        # whether all had been handed out by then is a matter of speed
        assert summary.outcomes[0].state == "done"
        assert any("full" in item.reason for item in summary.failed)
        assert {item.state for item in summary.outcomes} <= {
            "done",
            "failed",
            "not started",
        }
        filler.unlink()
        assert run(request).complete
        assert labels_in(disk / "out") == wanted
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_labels_of_other_settings_are_not_mixed(asked, images, tmp_path: Path) -> None:
    run(asked())
    before = labels_in(tmp_path / "out")
    with pytest.raises(ImageError, match=r"other settings \(level\)"):
        run(asked("level: 7"))
    assert labels_in(tmp_path / "out") == before
    assert run(asked("level: 7", again=True)).complete
    assert labels_in(tmp_path / "out") != before
    # an image that was changed since is done again
    time.sleep(0.01)
    (images / "img_4.tif").touch()
    summary = run(asked("level: 7"))
    assert [item.name for item in summary.outcomes if item.state == "done"] == ["img_4"]


@contextlib.contextmanager
def _taken(port: int) -> Iterator[None]:
    """A port that another program listens on, this one where no other does already."""
    with socket.socket() as listener:
        if listener.connect_ex(("127.0.0.1", port)) == 0:
            yield
            return
    with socket.socket() as listener:
        listener.bind(("", port))
        listener.listen()
        yield


def test_workers_of_its_own(asked, wanted, tmp_path: Path) -> None:
    said: list[str] = []
    report = Report(say=said.append)
    with _taken(8787):  # where dask would like its page
        summary = run(asked("kill: img_1", scheduler=None, workers=1), report)
    assert summary.complete
    assert labels_in(tmp_path / "out") == wanted
    assert "6 images on 1 worker(s)" in said


def test_a_second_batch_keeps_out(asked, tmp_path: Path) -> None:
    said: list[str] = []

    def second(_: object) -> None:
        with pytest.raises(ImageError, match="Another batch"):
            run(asked())
        said.append("refused")

    run(asked(), told=second)
    assert said == ["refused"] * 6


def test_blocks_are_for_one_image_and_one_task(asked, images, tmp_path: Path) -> None:
    for values in ({"block": 128}, {"output": "labels.zarr"}):
        with pytest.raises(ImageError, match="Only one image, and only by the task every"):
            run(asked(**values))
    with pytest.raises(ImageError, match="Only one image"):
        run(asked(source=images / "img_0.tif", output="labels.tif"))
