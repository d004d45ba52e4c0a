"""``python -m napari_cellprompt`` is the command ``cellprompt``."""

from __future__ import annotations

import sys

from napari_cellprompt.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
