"""Fresh interpreters that import the package as it is tested here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import napari_cellprompt

SOURCE = Path(napari_cellprompt.__file__).parents[1]
"""The folder that holds the package: that of this checkout, installed or not."""


def environment() -> dict[str, str]:
    """This process's, with the package that is tested before an installed one."""
    return {**os.environ, "PYTHONPATH": str(SOURCE)}


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter without the user's packages and the current folder.

    ``-I`` would leave out ``PYTHONPATH`` too, and test what is installed.
    """
    return subprocess.run(
        [sys.executable, "-s", "-P", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
