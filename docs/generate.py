"""Pages of the site that are made from the code and from the benchmarks' history.

Used by mkdocs as a hook: it adds ``reference/keys.md`` and the like while the site is
built, so that they cannot grow old. ``python docs/generate.py FOLDER`` writes them to look
at, ``python docs/generate.py --readme`` the table of the README.
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
    for name, (title, text) in TEXTS.items():
        run = latest(name)
        if run is not None:
            parts += [f"## {title}", text, _rows_of(run), _where(run)]
    return "\n\n".join(parts)


TEXTS = {
    "quality": (
        "Outlines from clicks and boxes",
        "Mean IoU over objects of images that were not trained on, at most 60 of each kind: "
        "from one click at the innermost pixel, after four corrective clicks, from the true "
        "box, from that box a tenth too large on each side, and of the ellipse inscribed in "
        "the true box. Where a box is worse than the ellipse in it, the model has little to "
        "offer.",
    ),
    "quality_nano": (
        "The two bundled models",
        "The same means on at most 20 objects of each kind.",
    ),
    "noc": (
        "Clicks to a good outline",
        "Mean number of clicks to an IoU of 0.80, 0.85 and 0.90, at most 20, and in brackets "
        "the share of objects that did not get there. With the weights of the day that is "
        "named below: the default model was trained on since.",
    ),
    "everything": (
        "Everything without prompts",
        "Average precision at an IoU of 0.5, and seconds an image, on images of DSB 2018 of "
        "up to 520 x 696 pixels.",
    ),
    "fewshot": (
        "Few-shot",
        "Three nuclei of one image as examples, the other images of the set to be searched: "
        "precision and recall at an IoU of 0.5, beside those of *Everything* and of as many "
        "of its objects at random. On the simulated images one of two kinds is wanted; on "
        "DSB every nucleus is, so that examples can only keep out what is no nucleus. "
        "Measured with `cellprompt-nano`, before the default model changed and before "
        "*Everything* looked again on finer levels where it is in doubt.",
    ),
    "propagation": (
        "Propagation from one true mask",
        "Mean IoU over all other planes, where a mask beyond the true end of an object counts "
        "as 0 (`propagated`); over the planes where the object is; and of the first mask "
        "copied to each of these, which is thus told where the object ends. Where an object "
        "ends is what the model knows least: bacteria that divide go on as one of the "
        "daughters unless the division is accepted.",
    ),
    "curves": (
        "How far a prompt reaches",
        "IoU by the distance in planes from the one plane with a true mask, the share of "
        "objects lost there, and pixels taken from other objects as a share of the object's "
        "own. With the weights of the day that is named below.",
    ),
    "speed": (
        "Seconds of a click",
        "Medians of five runs, 1024 x 1024 pixels, without a GPU.",
    ),
    "beside_meta": (
        "Beside Meta's package",
        "Our time over that of `sam2`, on the same weights.",
    ),
    "video_speed": (
        "Following, beside Meta's package",
        "SAM 2.1 tiny at 1024 x 1024, 5 objects through 16 frames, taking turns frame by "
        "frame; the time, or the growth of memory, of ours over theirs.",
    ),
    "opening": (
        "Opening the widget",
        "Segment in a fresh process, with its model and with one that does nothing, so that "
        "PyTorch is not loaded: seconds, and the longest time in which the window did not "
        "react while the widget was made, while the model was loaded, and during a first "
        "click. What is left of the first is napari's: layers, docks, redraws.",
    ),
    "responsiveness": (
        "The window while a model runs",
        "The longest gap of a timer in the thread of the window, medians of five, drawn in "
        "software.",
    ),
    "large": ("An image larger than memory", "Time and the peak of memory."),
    "batch": ("Many images", "The same folder on one and on two processes."),
}
"""Title and words of each benchmark whose files are shown, in the order of the page."""


def latest(name: str) -> dict[str, Any] | None:
    """The newest file of the history with a name; None where there is none."""
    paths = sorted(HISTORY.glob(f"{name}_[0-9]*.json"))
    if not paths:
        return None
    run: dict[str, Any] = json.loads(paths[-1].read_text(encoding="utf-8"))
    return run


def readme_table() -> str:
    """The four rows of the README, from the same files as the page of figures."""
    quality, found = latest("quality"), latest("everything")
    followed, speed = latest("propagation"), latest("speed")
    if quality is None or found is None or followed is None or speed is None:
        raise FileNotFoundError("the history lacks what the table of the README is made of")
    mean = next(row for row in quality["rows"] if row["images"] == "mean")
    stacks = followed["rows"]
    better = sum(row["where_it_is"] > row["copied"] for row in stacks)
    seconds = {row["what"]: row["focus_s"] for row in speed["rows"]}
    precision = ", ".join(f"{row['ap50']:.2f} ({row['images']})" for row in found["rows"])
    rows = [
        [
            f"outlines, {len(quality['rows']) - 1} kinds of image",
            f"mean IoU {mean['click']:.2f} after one click, {mean['clicks5']:.2f} after five, "
            f"{mean['box']:.2f} from a box",
        ],
        ["all objects without a prompt", f"AP at IoU 0.5: {precision}"],
        [
            f"propagation, {len(stacks)} stacks and movies",
            f"mean IoU {_mean(stacks, 'where_it_is'):.2f} where the object is (the mask "
            f"copied: {_mean(stacks, 'copied'):.2f}; better in {better} of {len(stacks)}), "
            f"{_mean(stacks, 'propagated'):.2f} with planes beyond its end",
        ],
        [
            "seconds on 2 cores, 1024 x 1024",
            f"first click {seconds['first click on a 1024 x 1024 image']:.2f}, corrective "
            f"click {seconds['corrective click']:.2f}, box {seconds['box']:.2f}",
        ],
    ]
    days = sorted({run["date"] for run in (quality, found, followed, speed)})
    asked = f"`cellprompt-focus`, {' and '.join(dict.fromkeys((days[0], days[-1])))}"
    return table([asked, "on images not trained on"], rows)


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


def readme_with_figures(text: str) -> str:
    """The README with its table written anew."""
    head, rest = text.split(FIRST_MARK)
    tail = rest.split(LAST_MARK)[1]
    return f"{head}{FIRST_MARK}\n{readme_table()}\n{LAST_MARK}{tail}"


FIRST_MARK = "<!-- figures: written by `make bench-docs` from benchmarks/history -->"
LAST_MARK = "<!-- end of figures -->"


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
    note = f" ({run['note']})" if "note" in run else ""
    return (
        f"`{run['command']}`, {run['date']}, version {run['version']}, "
        f"{machine['processor']}, {machine['threads']} thread(s) of {machine['cores']} "
        f"cores{busy}{note}."
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


def main() -> None:
    """Write the pages into a folder, or the table of the README."""
    if sys.argv[1:] == ["--readme"]:
        path = ROOT / "README.md"
        path.write_text(readme_with_figures(path.read_text(encoding="utf-8")), "utf-8")
        return
    folder = Path(sys.argv[1])
    for name, page in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
