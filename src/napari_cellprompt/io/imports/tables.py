"""What tables say of objects: those of measurements, and those of tracks."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.objects import ObjectFacts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["read_objects", "write_objects"]


def read_objects(path: Path) -> dict[int, ObjectFacts]:
    """Read name, class, state, trust and parent by label; other columns are left alone.

    Raises
    ------
    ImageError
        Where the table has no column ``label`` or holds something else than numbers.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if "label" not in (table.fieldnames or ()):
                raise ImageError(f"{path.name} has no column 'label'.")
            return {
                int(row["label"]): ObjectFacts(
                    name=row.get("name") or "",
                    class_name=row.get("class") or "",
                    state=row.get("state") or "",
                    trust=float(row["trust"]) if row.get("trust") else None,
                    parent=int(row.get("parent") or 0) or None,
                )
                for row in table
            }
    except ImageError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise ImageError(f"{path.name} cannot be read as a table: {error}.") from error


def write_objects(path: Path, objects: Mapping[int, ObjectFacts]) -> None:
    """Write what ``read_objects`` reads.

    Raises
    ------
    SaveError
        Where it cannot be written.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("label", "name", "class", "state", "trust", "parent"))
        for key in sorted(objects):
            facts = objects[key]
            writer.writerow(
                (
                    key,
                    facts.name,
                    facts.class_name,
                    facts.state,
                    "" if facts.trust is None else facts.trust,
                    facts.parent or "",
                )
            )
