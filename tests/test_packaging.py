"""Files around the package that say the same thing as it does."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONDA = {"torch": "pytorch", "dask[array]": "dask-core"}
"""Names that conda-forge gives to distributions of PyPI."""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def read_mkdocs() -> Any:
    """The configuration of the site; tags of Python in it are left alone."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return yaml.safe_load(re.sub(r"!!python\S*", "", text))


def test_links_of_the_readme_work_on_pypi_as_well() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert targets
    assert [t for t in targets if not t.startswith(("https://", "#"))] == []


def test_pictures_of_the_readme_are_in_the_repository() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in re.findall(r"!\[[^]]*\]\(https://raw\.\S+?/main/([^)\s]+)\)", text):
        assert (ROOT / path).is_file(), path


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 110


def test_figures_of_the_readme_are_those_of_the_history() -> None:
    """Where this fails: ``make bench-docs``, and look at what has changed."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert generate.readme_with_figures(text) == text
    assert "0." in generate.readme_table()


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("benchmarks/history/*.json")), ids=lambda path: path.stem
)
def test_files_of_the_history_say_where_they_are_from(path: Path) -> None:
    run = json.loads(path.read_text(encoding="utf-8"))
    assert path.name.startswith(f"{run['name']}_{run['date']}")
    assert run["command"].startswith("python benchmarks/")
    assert (ROOT / run["command"].split()[1]).is_file()
    assert {"processor", "cores", "threads"} <= set(run["machine"])
    assert run["rows"]


def test_citation_and_recipe_have_the_version_and_licence(project: dict[str, Any]) -> None:
    citation = read_yaml("CITATION.cff")
    recipe = read_yaml("packaging/conda-forge/recipe.yaml")
    assert citation["version"] == project["version"] == recipe["context"]["version"]
    assert citation["license"] == project["license"] == recipe["about"]["license"]


def test_the_recipe_needs_what_the_package_needs(project: dict[str, Any]) -> None:
    wanted = set()
    for dependency in project["dependencies"]:
        name, limit = re.fullmatch(r"([\w\-\[\]]+)(.*)", dependency).groups()
        wanted.add(f"{CONDA.get(name, name)} {limit}")
    recipe = read_yaml("packaging/conda-forge/recipe.yaml")
    assert set(recipe["requirements"]["run"][1:]) == wanted


def test_urls_are_those_of_one_project(project: dict[str, Any]) -> None:
    home = project["urls"]["Homepage"]
    assert {"Documentation", "Source", "Issues", "Changelog"} <= set(project["urls"])
    site = read_mkdocs()["site_url"]
    assert project["urls"]["Documentation"] == site
    assert all(url.startswith((home, site)) for url in project["urls"].values())


def test_pages_that_the_readme_links_to_are_on_the_site() -> None:
    config, text = read_mkdocs(), (ROOT / "README.md").read_text(encoding="utf-8")
    pages = set(re.findall(rf"\({re.escape(config['site_url'])}([^)#]*)", text))
    listed = re.findall(r"[\w/]+\.(?:md|ipynb)", str(config["nav"]))
    known = {re.sub(r"(index)?\.(md|ipynb)$", "", page).rstrip("/") for page in listed}
    assert {page.rstrip("/") for page in pages} <= known
    assert len(pages) > 2


def test_classifiers_begin_with_the_oldest_python(project: dict[str, Any]) -> None:
    minors = [
        int(found[1])
        for line in project["classifiers"]
        if (found := re.search(r":: 3\.(\d+)$", line))
    ]
    assert minors == list(range(11, 15))
    assert project["requires-python"] == ">=3.11"


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob(".github/**/*.yml")), ids=lambda path: path.name
)
def test_files_of_github_are_yaml(path: Path) -> None:
    assert isinstance(read_yaml(str(path.relative_to(ROOT))), dict)
