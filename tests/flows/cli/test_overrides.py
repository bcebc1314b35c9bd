"""What people write after ``KEY=``: paths of any letters, text that Hydra cannot read, several values, own files."""

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from modeldiff_core.errors import ConfigError
from modeldiff_platform.flows.cli import main
from modeldiff_platform.flows.cli.compose import composed, request
from modeldiff_platform.flows.cli.overrides import literal

ODD = [
    "~/runs",
    "/a,b",
    "/a=b",
    "/a#b",
    "/a (b)/c [d] {e}",
    "/größe/日本",
    "/it's",
    '/a"b',
    "/a\\",
    "/a\\'b",
    "/a\\\\'b",
    "$HOME/x",
    "/a:b;c",
    "{x}",
    "[x]",
    "100",
    "true",
    "/a b ",
    "/%s&|<>!*?@^`",
    "\\\\server\\share",
    "a\tb",
    "/a${b",
]


def test_a_path_is_taken_as_it_stands() -> None:
    """All in one configuration, since composing takes a while; each is read back by a key of a place."""
    overrides = [f"+places.p{index}.root={value}" for index, value in enumerate(ODD)]
    found = composed(overrides)["places"]
    assert [found[f"p{index}"]["root"] for index in range(len(ODD))] == ODD
    assert request(["store.root=/größe (1), #2"]).store.url == "file:///größe (1), #2"
    assert request(["store.root='/in quotes'"]).store.url == "file:///in quotes"
    assert request(["store.root=~/runs"]).store.url == f"file://{Path.home()}/runs"


def test_a_reference_in_a_path_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch")
    assert request(["store.root=${oc.env:SCRATCH}/runs"]).store.url == "file:///scratch/runs"


def test_other_values_are_read_by_hydra_where_it_can_read_them() -> None:
    same = [
        "a=1",
        "a=[1,2]",
        "a={b: 1}",
        "a=null",
        "+a=x",
        "~a",
        "~a=1",
        "a='x,y'",
        "+sweep.dataset.path=[/a,/b]",
        "a=",
    ]
    assert literal(same) == same
    assert literal(["algorithm_a.name=größe (2)"]) == ["algorithm_a.name='größe (2)'"]
    assert request(["algorithm_a.name=größe (2)"]).study.algorithm_a.name == "größe (2)"
    assert OmegaConf.create(composed(["subsets.models=300"])).subsets.models == 300


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "subsets.fraction=0.3,0.5",
            r"subsets\.fraction: expected one value, .*modeldiff sweep .*fraction=\[0\.3,0\.5\]'",
        ),
        ("subsets.fraction=0.3%", r"subsets\.fraction: expected a valid number, .* got '0\.3%'"),
        ("name={x}", r"name: expected a value that Hydra can read, got '\{x\}'"),
        ("störe.root=1", r"störe\.root: expected a key of the configuration"),
        ("study=mine.yaml", r"study: expected the name of a study, .* FOLDER/study/NAME\.yaml"),
        ("hydra.searchpath=[file:///nowhere]", r"hydra\.searchpath: expected folders of configuration"),
        ("store.root=/\udcff\udcfe", r"store\.root: expected text in UTF-8, got '/\\{2}xff\\{2}xfe'"),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_sentence(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        request([override])


STUDY = b"# @package _global_\ndefaults:\n  - /study/digits_null\n  - _self_\nname: mine\n"
FILES = {
    "tab": (STUDY + b"targets:\n\ta: 1\n", "expected a file in YAML", r"Line 7: .*\(a tab: "),
    "double": (STUDY + b"name: x\n", "expected a file in YAML", "Line 6: found duplicate key name"),
    "broken": (STUDY + b"targets: [1,\n", "expected a file in YAML", "Line 7: "),
    "utf16": (STUDY.decode().encode("utf-16"), "expected a file in plain UTF-8", "It is UTF-16"),
    "mark": (b"\xef\xbb\xbf" + STUDY, "expected a file in plain UTF-8", "UTF-8 with a byte-order mark"),
    "latin1": (STUDY + "# größe".encode("latin-1"), "expected a file in plain UTF-8", "Byte 0xf6 in line 6"),
    "headless": (STUDY.split(b"\n", 1)[1], r"expected a file with the line '# @package _global_'", "which has none"),
    "empty": (b"", "expected a file with settings", "which is empty"),
    "remarks": (b"# @package _global_\n# more to come\n", "expected a file with settings", "holds comments alone"),
    "list": (b"# @package _global_\n- 1\n", "expected a file of lines KEY: VALUE", "holds a list"),
    "text": (b"# @package _global_\nhello\n", "expected a file of lines KEY: VALUE", "holds plain text"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_study_file_that_holds_no_study_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, *said = FILES[name]
    folder = tmp_path / "conf, größe" / "study"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_bytes(STUDY)
    (folder / f"{name}.yaml").write_bytes(content)
    search = f"hydra.searchpath=['file://{folder.parent}']"
    assert request([search, "study=mine"]).study.name == "mine"
    assert main(["status", search, f"study={name}"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"{folder / name}.yaml" in told
    with pytest.raises(ConfigError) as raised:
        request([search, f"study={name}"])
    for words in said:
        assert re.search(words, str(raised.value))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_study_as_json_may_be_in_any_of_unicodes_encodings(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(request(["algorithm_a.name=größe"]).study.model_dump_json(), encoding)
    assert request([f"study={tmp_path}/study.json"]).study.algorithm_a.name == "größe"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"name": "a", "name": "b"}', "the key 'name' appears twice"),
        ('{"name": "größe"}'.encode("latin-1"), "can't decode byte"),
        (b"[" * 100_000, "recursion"),
        (b"[1]", "study"),
        (b"", "Expecting value"),
    ],
)
def test_a_study_as_json_that_holds_none_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        request([f"study={tmp_path}/study.json"])
