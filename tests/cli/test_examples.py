"""Each example of the help is a line that the parser takes; one style for all commands."""

from __future__ import annotations

import argparse
import json
import shlex

import pytest

from napari_cellprompt.cli.examples import EXAMPLES
from napari_cellprompt.cli.main import main, make_parser
from napari_cellprompt.cli.printing import printed_report


def commands() -> dict[str, argparse.ArgumentParser]:
    (actions,) = (
        action
        for action in make_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return dict(actions.choices)


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_examples_parse(line: str) -> None:
    words = shlex.split(line.partition(" > ")[0])
    assert words[0] == "cellprompt"
    assert callable(make_parser().parse_args(words[1:]).run)


@pytest.mark.parametrize("name", commands())
def test_every_command_has_examples_and_a_description(name: str, capsys) -> None:
    parser = commands()[name]
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert EXAMPLES[name][0] in shown
    assert parser.description
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction) and action.option_strings:
            assert action.help, action.option_strings


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell: str, capsys) -> None:
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "everything" in script
    assert "--drop-border" in script


def test_lines_for_programs(capsys) -> None:
    report = printed_report(json_lines=True)
    report.say("plane 1 of 2")
    report.progress(1, 2)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        {"event": "message", "text": "plane 1 of 2"},
        {"event": "progress", "done": 1, "total": 2},
    ]


def test_sentences_for_people_leave_the_output_free(capsys) -> None:
    report = printed_report()
    report.say("plane 1 of 2")
    report.progress(1, 2)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "plane 1 of 2\n")


def test_a_bar_on_a_terminal(capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    report = printed_report()
    report.progress(1, 3)
    report.say("plane 1 of 3")
    report.progress(3, 3)
    said = capsys.readouterr().err
    assert "1/3" in said
    assert "plane 1 of 3" in said
