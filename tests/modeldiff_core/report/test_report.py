import io
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from modeldiff_core.data import Examples
from modeldiff_core.report import render
from modeldiff_core.report.facts import WhereFacts
from modeldiff_core.report.html import environment
from tests.modeldiff_core.report.comparisons import effect
from tests.modeldiff_core.report.pages import Page, decoded

SVG = "{http://www.w3.org/2000/svg}"


PAGES = {
    "index",
    "direction-a-b-1",
    "direction-b-a-1",
    "other-directions",
    "transformations",
    "methods",
}


def test_a_page_for_each_significant_direction_and_one_for_the_others(pages, files):
    assert pages.keys() == PAGES
    assert [a["id"] for a in pages["other-directions"].all("details")] == ["direction-a-b-2", "direction-b-a-2"]
    assert sum(map(len, files.values())) < 2e6


def test_every_image_is_inside_its_page_has_words_and_decodes(pages):
    kinds = {name: Counter() for name in pages}
    for name, page in pages.items():
        for image in page.all("img"):
            assert image["alt"].strip()
            kind, content = decoded(image["src"])
            kinds[name][kind] += 1
            if kind == "image/svg+xml":
                assert ElementTree.fromstring(content).tag == f"{SVG}svg"
            else:
                with Image.open(io.BytesIO(content)) as picture:
                    picture.load()
                    assert picture.size == (112, 112)
    assert kinds["index"] == {"image/svg+xml": 2, "image/png": 2 * 2 * 5 + 2 * 6}
    assert kinds["direction-a-b-1"] == {"image/png": 2 * 2 * 12 + 3}  # and what one end shares
    assert kinds["direction-b-a-1"] == {"image/png": 2 * 2 * 12}
    assert kinds["other-directions"] == {"image/png": 2 * (2 * 2 * 6)}
    # Two effects and the one that was found and confirmed, with pairs of images.
    assert kinds["transformations"] == {"image/svg+xml": 3, "image/png": 2 * (3 + 4 + 3)}
    assert not kinds["methods"]


def test_nothing_is_loaded_from_elsewhere_and_every_link_leads_somewhere(pages, files):
    for name, page in pages.items():
        loaded = [a[key] for _, a in page.elements for key in ("src", "srcset", "action", "data") if a.get(key)]
        assert all(address.startswith("data:") for address in loaded)
        assert name == "methods" or len(loaded) > 15
        links = [a["href"] for a in page.all("a")]
        assert len(links) > 4
        for link in links:
            target, _, anchor = link.partition("#")
            assert not target or target in files, link
            if anchor:
                found = Page(files[target]) if target else page
                assert anchor in {a.get("id") for _, a in found.elements}, link
        assert b"url(" not in files[f"{name}.html"]
        assert b"@import" not in files[f"{name}.html"]
        policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
        assert policy.startswith("default-src 'none'")


def test_contrasts_by_components_of_the_same_networks_are_linked(facts):
    where = WhereFacts("Where in the network: block", "Without 3 of 64, 70 % is gone.", "../../../c/x.html")
    shorter = replace(facts, directions=(), effects=(), found=(), learning=None, spread=None)
    page = Page(render(replace(shorter, where=(where,)))["index.html"])
    assert [a["href"] for a in page.all("a")].count(where.href) == 1
    assert where.title in page.text
    assert where.found in page.text
    assert "Where in the network" not in Page(render(shorter)["index.html"]).text
    part = environment().get_template("parts.html.jinja").module.where_in_the_network
    assert f'<a href="{where.href}">{where.title}</a>' in part((where,))
    assert part(()).strip() == ""


def test_every_file_is_linked_to(pages, files):
    linked = {a["href"].partition("#")[0] for page in pages.values() for a in page.all("a")}
    assert files.keys() - linked == set()
    stems = {name.rsplit(".", 1)[0] for name in files if name.startswith("figures/")}
    assert len(stems) == 2 + 2 + 2 * 3
    assert {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")} <= files.keys()
    for name, content in files.items():
        if name.endswith(".svg"):
            assert ElementTree.fromstring(content).tag == f"{SVG}svg"


def test_tables_hold_the_numbers_in_both_formats(facts, files):
    names = {name.removeprefix("tables/").rsplit(".", 1)[0] for name in files if name.startswith("tables/")}
    assert names == {
        "directions",
        "transformations",
        "settings",
        "estimators",
        "learning-curve",
        "plain",
        "direction-a-b-1",
        "direction-b-a-1",
    }
    read = {}
    for name in names:
        read[name] = pd.read_parquet(io.BytesIO(files[f"tables/{name}.parquet"]))
        text = pd.read_csv(io.BytesIO(files[f"tables/{name}.csv"]), keep_default_na=False, na_values=[""])
        assert list(text.columns) == list(read[name].columns)
        assert len(text) == len(read[name]) > 0
    directions = read["directions"]
    assert directions["p_adjusted"].tolist() == [0.016, 0.86, 0.016, 0.86]
    assert directions["variance_a"].tolist() == [one.variance_a for one in facts.directions]
    assert directions["significant"].tolist() == [True, False, True, False]
    effects = read["transformations"]
    assert len(effects) == 4 * 3  # intensities
    checker = effects[effects["transformation"] == "checker"]
    np.testing.assert_allclose(checker["probability_a"], facts.effects[1].a.effect)
    assert checker["difference"].isna().tolist() == [True, True, False]
    assert checker["distinguishing"].tolist() == [False, False, True]
    furthest = read["direction-a-b-1"]
    top = furthest[(furthest["examples"] == "targets") & (furthest["end"] == "positive")]
    assert top["value"].is_monotonic_decreasing
    assert top["example"].iloc[0] == facts.directions[0].projections.argmax()
    assert top["planted"].iloc[:10].all()
    assert read["estimators"]["seconds"].tolist() == [20.6, 21.0]
    assert read["learning-curve"]["models"].tolist() == 2 * [200, 300, 500, 900, 1700, 3000]
    assert read["learning-curve"]["score"].iloc[5] == pytest.approx(facts.learning.curves[0].means[5])


def test_nothing_is_called_chance_that_was_not_tested(facts):
    untested = tuple(replace(one, significant=False, null_p=1.0, p_adjusted=1.0) for one in facts.directions)
    out = render(replace(facts, directions=untested, null=np.zeros(0)))
    index, others = Page(out["index.html"]).words(), Page(out["other-directions.html"]).words("main")
    assert "No direction was tested against chance." in index
    assert "1.000" not in Page(out["index.html"]).words("directions")
    assert "not significant" not in index + others
    assert others.count("not tested") == 4
    assert "were not set against chance" in others
    texts = {node.text for node in ElementTree.fromstring(out["figures/variance.svg"]).iter(f"{SVG}text")}
    assert {"A−B, not tested", "B−A, not tested"} <= texts
    assert not {"noise floor", "A−B, not significant"} & texts


def test_the_same_facts_give_the_same_bytes(facts, files):
    few = replace(facts, effects=facts.effects[:1], directions=facts.directions[:1], found=())
    first, second = render(few), render(few)
    assert len(first) > 12
    assert first == second
    same = [name for name in first if name.startswith("figures/") and "variance" not in name]
    assert len(same) > 4
    for name in same:
        assert first[name] == files[name]  # a figure depends on nothing but what it shows


def test_names_are_text_and_never_markup(facts):
    evil = '"><script>alert(1)</script>$x$'
    hostile = replace(
        facts,
        study=evil,
        classes=(evil,) * len(facts.classes),
        findings=(evil,),
        directions=facts.directions[:1],
        effects=(replace(facts.effects[1], name=evil, class_name=evil, description=evil),),
        found=(),
        config={evil: "</code><img src=x>"},
    )
    out = render(hostile)
    pages = {name: Page(content) for name, content in out.items() if name.endswith(".html")}
    assert all(len(page.all("script")) == 1 for page in pages.values())
    assert evil in pages["index.html"].words("findings")
    assert pages["direction-a-b-1.html"].words().count(evil) > 48  # each image of the galleries and more
    assert all(name.replace("/", "").replace(".", "-").replace("-", "").isalnum() for name in out)
    drawings = [name for name in out if name.startswith("figures/effect") and name.endswith(".svg")]
    (drawing,) = [out[name] for name in drawings if "images" not in name]
    texts = [node.text for node in ElementTree.fromstring(drawing).iter(f"{SVG}text")]
    assert f"change of P({evil}), percentage points" in texts
    assert not list(ElementTree.fromstring(drawing).iter(f"{SVG}script"))


def test_the_variance_figure_names_the_significant_directions(files):
    root = ElementTree.fromstring(files["figures/variance.svg"])
    texts = {node.text for node in root.iter(f"{SVG}text")}
    assert {"A−B 1", "B−A 1", "x = y", "matters more to A", "variance under B", "noise floor"} <= texts
    assert {"A−B, cross-fitted", "B−A, cross-fitted", "A−B, not significant", "in-sample"} <= texts
    with Image.open(io.BytesIO(files["figures/variance.png"])) as picture:
        assert picture.size == (1240, 1200)
        assert len(picture.convert("RGB").getcolors(10**6)) > 20  # not blank
    for name, content in files.items():
        if name.endswith(".png"):
            with Image.open(io.BytesIO(content)) as picture:
                assert min(picture.size) >= 400
                assert max(picture.size) <= 2400


def test_a_comparison_without_directions_and_effects_is_still_a_page(facts):
    out = render(
        replace(
            facts,
            directions=(),
            effects=(),
            found=(),
            null=np.zeros(0),
            findings=(),
            versions={},
            config={},
            estimators=(),
            learning=None,
            plain=None,
            spread=None,
        )
    )
    settings = ["tables/settings.csv", "tables/settings.parquet"]
    assert list(out) == ["index.html", "methods.html", "study.json", *settings]
    page = Page(out["index.html"])
    assert not page.all("img")
    assert "No direction was computed." in page.words("directions")
    assert "No transformation was tested" in page.words("effects")


def test_many_directions_photographs_and_a_single_intensity(facts):
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (len(facts.targets), 80, 120, 3), dtype=np.uint8)
    targets = Examples(photos, facts.targets.labels)
    many = tuple(replace(facts.directions[1], index=index, null_p=float("nan")) for index in range(25))
    single = effect("tint", None, 0.4, photos[:2], np.array([3.0]))
    out = render(replace(facts, targets=targets, directions=many, effects=(single,), found=(), null=np.zeros(0)))
    others, effects = Page(out["other-directions.html"]), Page(out["transformations.html"])
    assert len([a for a in others.all("details") if a.get("id")]) == 10
    assert "15 more:" in others.words(), "without a null nothing is said to be chance"
    assert "A−B 25" in Page(out["index.html"]).words("directions")
    sizes = {
        Image.open(io.BytesIO(decoded(image["src"])[1])).size
        for image in [*others.all("img"), *effects.all("img")]
        if image["src"].startswith("data:image/jpeg")
    }
    assert sizes == {(120, 80)}  # three color channels, never enlarged beyond use
    assert "At intensity 3: A +69.3" in next(i["alt"] for i in effects.all("img") if "over intensity" in i["alt"])
