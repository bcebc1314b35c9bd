"""The files that a contributor reads first agree with the code and with what CI checks."""

import re
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_changelog_has_the_version_and_what_is_not_released() -> None:
    headings = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == VERSION
    dates = [date.fromisoformat(day) for _, day in headings[1:]]
    assert dates == sorted(dates, reverse=True)


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["version"] == VERSION
    assert f"## [{VERSION}] - {citation['date-released']}" in (ROOT / "CHANGELOG.md").read_text()
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Shah", "Park", "Ilyas", "Mądry"]


def test_hooks_are_the_checks_of_make() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    entries = {hook["entry"].replace(".venv/bin", "$(BIN)") for hook in local["hooks"]}
    makefile = (ROOT / "Makefile").read_text()
    checks = {
        line.strip()
        for target in ("lint", "types", "contract")
        for line in re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[0].splitlines()
    }
    assert len(checks) == 4
    assert entries == checks | {"shellcheck"}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/nightly.md"])
def test_links_lead_to_files(name: str) -> None:
    path = ROOT / name
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_the_groups_of_the_table_are_registries_and_its_files_are_there() -> None:
    lines = re.findall(r"^\| an? .*$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert len(lines) == 11
    code = "\n".join(path.read_text() for path in (ROOT / "modeldiff_core").rglob("*.py"))
    for line in lines:
        _, _, group, files, _, _ = line.split("|")
        assert f'{group.strip().strip("`")}"' in code, group
        for name in re.findall(r"`([\w/]+\.(?:py|md))`", files):
            if "NAME" not in name:
                assert (ROOT / name).exists() or (ROOT / "modeldiff_core" / name).exists(), name
