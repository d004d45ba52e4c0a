"""Pages of the site that are made from the code and from the benchmarks' history.

Used by mkdocs as a hook: it adds ``reference/keys.md`` and the like while the site is
built, so that they cannot grow old. ``python docs/generate.py FOLDER`` writes them to look
at.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "napari_cellprompt"
HISTORY = ROOT / "benchmarks" / "history"


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |"
        for line in lines
    )


def keys_page() -> str:
    """The keys of the widgets, from the tables that bind them."""
    from napari_cellprompt.widgets.shared import keys

    parts = ["# Keys", "They are bound while their widget is open, and given back after."]
    for title, bound in (
        ("Segment", keys.KEYS),
        ("Propagate, while objects are looked through", keys.PROPAGATE_KEYS),
        ("Series", keys.SERIES_KEYS),
    ):
        rows = [[f"`{keys.name_of(key)}`", key.text] for key in bound]
        if bound is keys.KEYS:
            rows = [
                ["click", "on the object"],
                [f"{keys.MODIFIER}+click", "the other sign"],
                *rows,
            ]
        parts += [f"## {title}", table(["key", "what it does"], rows)]
    return "\n\n".join(parts)


def settings_page() -> str:
    """The preferences of the plugin, from its manifest."""
    manifest = yaml.safe_load((PACKAGE / "napari.yaml").read_text())
    parts = [
        "# Settings",
        "They are in napari under *File > Preferences*, or *napari > Preferences*.",
    ]
    for group in manifest["contributions"]["configurations"].values():
        rows = []
        for item in group["properties"].values():
            values = ", ".join(map(str, item.get("enum", ()))) or item["type"]
            rows.append([item["title"], values, item["default"], item["description"]])
        parts += [f"## {group['title']}"]
        parts += [table(["setting", "values", "default", "what it does"], rows)]
    return "\n\n".join(parts)


def cli_page() -> str:
    """What ``--help`` says of each command."""
    from napari_cellprompt.cli.main import make_parser

    parts = [
        "# Command line",
        "Every command ends with 0 when all went well, with 1 when something failed, with 2 "
        "when what was asked cannot be done, and with 130 when it was interrupted. What it "
        "tells goes to the standard error stream; `--json` gives lines of JSON on the "
        "standard output instead: objects with `event` (`message`, `progress`, `image`, "
        "`end`) and what belongs to it.",
    ]
    for name, parser in sorted(_commands(make_parser()).items()):
        parts += [f"## cellprompt {name}", _help(parser)]
        for inner, below in sorted(_commands(parser).items()):
            parts += [f"### cellprompt {name} {inner}", _help(below)]
    return "\n\n".join(parts)


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def _help(parser: argparse.ArgumentParser) -> str:
    return f"```text\n{parser.format_help().strip()}\n```"


def jobs_page() -> str:
    """What a job of ``cellprompt batch`` may say, from the fields of the requests."""
    from napari_cellprompt.tasks.batch.schema import describe, type_hints
    from napari_cellprompt.tasks.batch.verbs import VERBS

    parts = [
        "# Job files",
        "A job is a YAML file with the name of a task and its settings; see "
        "[Many images](../how/batch.md). What is not said keeps its default. Paths start "
        "where the job file is; `{stem}`, `{name}` and `{folder}` in them stand for those of "
        "each image.",
    ]
    for name, verb in VERBS.items():
        parts.append(f"## task: {name}")
        kind = verb.request_class()
        left = {verb.image, verb.output, *verb.left}
        parts.append(_fields(kind, left, describe, type_hints))
        for field, hint in type_hints(kind).items():
            for inner in getattr(hint, "__args__", ()):
                if dataclasses.is_dataclass(inner) and field not in left:
                    parts.append(f"`{field}:` is a block of")
                    parts.append(_fields(inner, set(), describe, type_hints))
    return "\n\n".join(parts)


def _fields(kind: Any, left: set[str], describe: Any, hints_of: Any) -> str:
    hints = hints_of(kind)
    rows = []
    for field in dataclasses.fields(kind):
        if field.name in left:
            continue
        default: Any = field.default
        if default is dataclasses.MISSING:
            needed = field.default_factory is dataclasses.MISSING
            default = "needed" if needed else "as its class says"
        rows.append([f"`{field.name}`", describe(hints[field.name]), default])
    return table(["setting", "what it may be", "default"], rows)


def models_page() -> str:
    """The models that are known, from the registry."""
    from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL, MODELS

    rows = []
    for name, spec in MODELS.items():
        size = getattr(spec, "nbytes", None) or getattr(spec, "size_bytes", None)
        rows.append(
            [
                f"`{name}`" + (" (default)" if name == DEFAULT_MODEL else ""),
                spec.family,
                getattr(spec, "licence", "") or "",
                "" if size is None else f"{size / 2**20:.0f} MB",
                getattr(spec, "good_for", "") or "",
            ]
        )
    return "\n\n".join(
        [
            "# Models",
            "Every name works wherever a model is asked for; so does the path of a file of "
            "weights. How to get them: [models](../how/models.md).",
            table(["name", "family", "licence", "size", "good for"], rows),
        ]
    )


def figures_page() -> str:
    """Tables of what was measured, each with its command, date and machine."""
    parts = [(ROOT / "docs" / "figures_head.md").read_text().strip()]
    texts = {
        "noc": (
            "Clicks to a good outline",
            "Mean number of clicks to an IoU of 0.80, 0.85 and 0.90, at most 20, and in "
            "brackets the share of objects that did not get there.",
        ),
        "curves": (
            "How far a prompt reaches",
            "IoU by the distance in planes from the one plane with a true mask, the share "
            "of objects lost there, and pixels taken from other objects as a share of the "
            "object's own.",
        ),
        "large": ("An image larger than memory", "Time and the peak of memory."),
        "batch": ("Many images", "The same folder on one and on two processes."),
    }
    for name, (title, text) in texts.items():
        paths = sorted(HISTORY.glob(f"{name}_[0-9]*.json"))
        if not paths:
            continue
        run = json.loads(paths[-1].read_text())
        parts += [f"## {title}", text, _rows_of(run), _where(run)]
    return "\n\n".join(parts)


def _rows_of(run: dict[str, Any]) -> str:
    rows = run["rows"]
    if run["name"] == "noc":
        return table(
            ["model", "images", "objects", "0.80", "0.85", "0.90"],
            [
                [row["model"], row["kind"], row["objects"]]
                + [
                    f"{row[f'noc{level}']:.1f} ({row[f'failed{level}']:.0%})"
                    for level in (80, 85, 90)
                ]
                for row in rows
            ],
        )
    names = list(rows[0])
    return table(names, [[row.get(name, "") for name in names] for row in rows])


def _where(run: dict[str, Any]) -> str:
    machine = run["machine"]
    busy = "" if machine.get("load") is None else f", load {machine['load']}"
    return (
        f"`{run['command']}`, {run['date']}, version {run['version']}, "
        f"{machine['processor']}, {machine['threads']} thread(s) of {machine['cores']} "
        f"cores{busy}."
    )


PAGES = {
    "reference/keys.md": keys_page,
    "reference/settings.md": settings_page,
    "reference/cli.md": cli_page,
    "reference/jobs.md": jobs_page,
    "reference/models.md": models_page,
    "figures.md": figures_page,
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages; called by mkdocs."""
    from mkdocs.structure.files import File

    for name, page in PAGES.items():
        files.append(File.generated(config, name, content=page()))
    return files


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, page in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(page())
