import io
import json
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from modeldiff_core.data import Examples
from modeldiff_core.data.inventory import ClassSeen, Inventory
from modeldiff_core.data.notes import Tally
from modeldiff_core.report import render
from modeldiff_core.report.citation import BIBTEX, PLAIN
from modeldiff_core.report.dose_response import margin_limits, probability_limits
from modeldiff_core.report.ends import class_counts, ends
from modeldiff_core.report.facts import WhereFacts
from modeldiff_core.report.figures import noise_floor
from modeldiff_core.report.html import environment
from modeldiff_core.report.images import tile
from modeldiff_core.report.methods import steps
from modeldiff_core.report.subpopulations import difference_picture
from modeldiff_core.report.words import flat, number, percent, probability
from tests.modeldiff_core.report.comparisons import END, PLANT, effect
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


@pytest.fixture(scope="session")
def pages(files) -> dict[str, Page]:
    return {name.removesuffix(".html"): Page(content) for name, content in files.items() if name.endswith(".html")}


@pytest.fixture(scope="session")
def page(pages) -> Page:
    return pages["index"]


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


def test_methods_say_how_to_make_and_cite_it(pages, files):
    words = pages["methods"].words()
    assert json.loads(files["study.json"]) == {"name": "digits_watermark", "subsets": {"fraction": 0.5}, "seed": 7}
    assert "modeldiff compare study=study.json" in words
    assert PLAIN in words
    assert " ".join(BIBTEX.split()) in words
    settings = pages["methods"].words("settings")
    assert "kind erase, top 0" in settings
    assert "Subsets fraction 0.5" in settings
    assert "seed 7" in settings


def test_the_appendix_has_the_table_of_the_data(facts):
    inventory = Inventory(
        train=120,
        test=160,
        classes=(ClassSeen(0, "<b>cat</b>", "7", 120, 160),),
        changed=(Tally("turned upright by their EXIF tag", 3, 1, ("train/a.jpg", "train/b.jpg")),),
        left_out=(Tally("hidden (name begins with a dot)", 2),),
        remarks=("mind the copies",),
    )
    words = Page(render(replace(facts, inventory=inventory))["methods.html"]).words("data")
    assert "mind the copies." in words
    assert "read 120 160" in words
    assert "label 0: <b>cat</b> (written 7) 120 160" in words
    assert "turned upright by their EXIF tag 3 1 train/a.jpg, train/b.jpg, …" in words
    assert "Left out hidden (name begins with a dot) 2 0" in words
    assert 'id="data"' not in render(facts)["methods.html"].decode()


def test_methods_tell_the_method_that_was_used(facts):
    def told(**comparison: object) -> str:
        settings = {"method": "pca", "components": 5, "permutations": 40, "significance": 0.1} | comparison
        config = {**facts.config, "comparison": settings, "regression": {"estimator": "least_squares"}}
        return " ".join(step.words for step in steps(replace(facts, config=config)))

    pca, crossfit = told(), told(method="crossfit")
    for words in (pca, crossfit):
        assert "regressed (least squares)" in words
        assert "5 directions" in words
        assert "40 times" in words
        assert "401 in all" in words
        assert "at most 0.10 after Holm" in words
        assert "scaled to length 1" in words
        assert "and the masks with them" not in words
    assert "principal components" in pca
    assert "quarters" not in pca
    assert "(R₁ᵀR₂ + R₂ᵀR₁)/2" in crossfit
    assert "from its two quarters" in crossfit
    assert "scaled to length 1" not in told(normalize=False)
    assert "not set against chance" in told(permutations=0)
    parts = told(null_from="parts")
    assert "40 times the models of A, or in turn of B, were parted" in parts
    assert "exchanged" in pca
    assert "exchanged" not in parts
    independent = replace(facts, config={**facts.config, "subsets": {"paired": False}})
    words = {step.name: step.words for step in steps(independent)}
    assert "and the masks with them" in words["Significance"]


def test_methods_tell_how_effects_and_the_search_were_tested(facts):
    def told(**config: object) -> dict[str, str]:
        return {step.name: step.words for step in steps(replace(facts, config={**facts.config, **config}))}

    effects = {"delta": 0.2, "epsilon": 0.025, "alpha": 0.01, "level": 0.9, "max_images": 1500}
    search = {"directions": 3, "candidates": 17, "confirmed": 2, "share": 0.07}
    lasso = {"estimator": "lasso", "n_lambdas": 20, "lambda_min_ratio": 0.01, "validation_fraction": 0.1, "folds": 0}
    words = told(effects=effects, search=search, regression=lasso, subsets={"evaluation_models": 150})
    assert "200 models of A and 200 of B" in words["Effects"]
    assert "at most 1,500 of the test images" in words["Effects"]
    assert "Its 90\u00a0% interval" in words["Effects"]
    assert "all 8 tests" in words["Effects"], "two outputs of two own and two searched transformations"
    assert "20 points or more, and by more than 2.5 beyond doubt" in words["Effects"]
    assert "within ±2.5 points" in words["Effects"]
    assert "difference is at most 0.01" in words["Effects"]
    assert "direction, at most 3 of a side, up to 17 transformations" in words["Search"]
    assert "The 2 best were put to the test" in words["Search"]
    assert "the 7\u00a0% of the test examples" in words["Subpopulations"]
    assert "of 199 exchanges and, where those leave a chance, of up to 9,999 new ones" in words["Subpopulations"]
    assert "The first 150 models were kept" in words["Datamodels"]
    assert "a random share of 0.1 of the others" in words["Datamodels"]
    assert "each of 5 parts of the others in turn" in told(regression={**lasso, "folds": 5})["Datamodels"]
    assert "regressed" not in told(regression={"estimator": "trak"})["Datamodels"]
    assert not {"Effects", "Search"} & {step.name for step in steps(replace(facts, effects=(), found=()))}


def test_the_level_of_intervals_is_the_studys(facts):
    out = render(replace(facts, config={**facts.config, "effects": {"level": 0.9}}, learning=None, estimators=()))
    for name in ("index", "transformations"):
        words = Page(out[f"{name}.html"]).words("effects" if name == "index" else "main")
        assert "90\u00a0% intervals" in words or "90 % intervals" in words
        assert "95 % intervals" not in words.replace("\u00a0", " ")


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


def test_what_is_not_significant_is_marked_and_folded(pages):
    folded = pages["other-directions"].by_id("direction-a-b-2")
    assert "open" not in folded
    assert "faint" in folded["class"].split()
    assert "not significant" in pages["other-directions"].words("direction-a-b-2")
    assert "not significant" not in pages["direction-a-b-1"].words()
    table = pages["index"].words("directions").split("All directions")[1]
    assert table.index("A−B 1") < table.index("A−B 2") < table.index("B−A 1") < table.index("B−A 2")
    assert "0.91 0.64 yes —" in table
    assert table.count("0.91 0.64 no 4,321") == 2  # models that they would need


def test_the_summary_begins_with_three_findings(page):
    assert page.words("findings") == (
        "Findings The mark moves A & not B. Second. Third. How far this can be relied on."
    )
    (top,) = page.all("ol")
    assert top["class"] == "findings"
    assert [name for name, _ in page.elements].count("li") == 3 + 2 + 2 + 12, "findings, cards, learning curves, spread"


def test_a_direction_says_what_its_ends_share(facts, pages):
    first = facts.directions[0]
    top = np.argsort(-first.projections)[:12]
    planted = int(facts.targets.metadata["planted"][top].sum())
    assert planted >= 10  # the projections follow the mark
    overall = percent(facts.targets.metadata["planted"].mean())
    words = pages["direction-a-b-1"].words()
    assert " ".join(f"planted: {planted} of 12 ({overall} of all)".split()) in words
    label, count = Counter(facts.targets.labels[top].tolist()).most_common(1)[0]
    assert label == PLANT.label
    assert f"{facts.classes[label]} ({count} of 12)" in words
    assert "planted: 0 of 12" in words
    assert number(first.projections.max(), signed=True) in words
    assert number(first.projections.min(), signed=True) in words
    assert "0.0110" in words
    assert "in-sample 0.0200" in words


def test_an_end_says_and_shows_what_its_images_share(pages):
    words = pages["direction-a-b-1"].words()
    assert "What the 7 furthest share:" in words
    assert "brighter by 9 [5, 12] than other images of the same classes" in words
    assert "difference to ±120" in words
    assert "furthest share" not in pages["direction-b-a-1"].words()
    picture = difference_picture(END.image.difference)
    assert picture[0, 0, 2] > picture[0, 0, 0], "darker is blue"
    assert picture[-1, -1, 0] > picture[-1, -1, 2], "brighter is red"
    nearest = np.unravel_index(np.abs(END.image.difference[..., 0]).argmin(), (8, 8))
    assert picture[nearest].min() > 250, "no difference is white"
    colour = np.zeros((2, 2, 3))
    colour[0, 0, 1] = -30
    np.testing.assert_array_equal(difference_picture(colour)[0], [[128, 0, 128], [128, 128, 128]])


def test_only_what_the_search_confirmed_is_drawn(pages, files):
    effects = pages["transformations"].words("main")
    assert "1 of 2 was confirmed." in effects
    assert "Along A−B 1, B−A 2." in effects
    assert "strongest patch → class 8 distinguishing" in effects
    assert "less contrast B−A 1 own class +2.0 [0.0, 4.0]" in effects
    assert "The search confirmed along this direction: strongest patch" in pages["direction-a-b-1"].words()
    assert "+4.40 [4.10, 4.40]" not in effects
    assert "+4.30 [4.10, 4.40]" in effects
    assert [name for name in files if "found" in name] == [
        "figures/found-01-strongest-patch-8-images.png",
        "figures/found-01-strongest-patch-8-images.svg",
        "figures/found-01-strongest-patch-8.png",
        "figures/found-01-strongest-patch-8.svg",
    ]


def test_the_tables_tell_settings_scores_and_effects(page, pages):
    words = page.words("algorithms")
    assert words.index("kind erase, top 0") < words.index("settings in common")
    assert "network.kind" not in words
    assert "network.kind" in pages["methods"].words("settings")
    assert "3,000 (2 diverged and left out)" in words
    assert "0.41 [0.40, 0.42]" in words
    assert "— [0.40, 0.42]" in words  # a score that is not a number
    assert "0.80 mean cosine similarity" in words
    assert "plain: score 0.43 after 3,000 models; the fitted curve gives" in words
    effects = page.words("effects")
    assert "+57.0 [55.0, 59.0]" in effects
    assert "+0.5 [−1.5, 2.5]" in effects
    assert "own class" in effects
    assert effects.index("checker class 8 +57.0") < effects.index("dim own class +1.0")
    assert "< 0.001" in effects
    drawn = pages["transformations"].words("effects")
    assert drawn.index("checker → class 8 distinguishing") < drawn.index("dim → own class undecided")
    assert "modeldiff compare study=study.json" in page.words("methods"), "a name would leave overrides out"
    methods = pages["methods"].words()
    assert "modeldiff compare study=digits_watermark" not in methods
    assert "subset of 50 % of the 120 training images" in methods
    assert '"fraction": 0.5' in methods


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
    assert sizes == {(120, 80)}  # three colour channels, never enlarged beyond use
    assert "At intensity 3: A +69.3" in next(i["alt"] for i in effects.all("img") if "over intensity" in i["alt"])


def test_a_tile_repeats_each_pixel_of_a_small_image():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype=np.uint8)
    expected = np.kron(image[:, :, 0], np.ones((14, 14), dtype=np.uint8))
    np.testing.assert_array_equal(np.asarray(tile(image)), expected)


def test_an_end_holds_only_its_own_sign_furthest_first():
    values = np.array([0.3, -0.1, 0.0, 0.7, -0.5, 0.2])
    positive, negative = ends(values, 3)
    assert positive.index.tolist() == [3, 0, 5]
    assert negative.index.tolist() == [4, 1]
    np.testing.assert_array_equal(negative.values, [-0.5, -0.1])
    examples = Examples(np.zeros((6, 2, 2, 1), dtype=np.uint8), np.array([0, 1, 2, 3, 4, 4]))
    assert class_counts(positive, examples, tuple("abcde"), most=2) == "a (1 of 3), d (1 of 3), 1 other class"
    assert class_counts(ends(values, 0)[0], examples, tuple("abcde")) == "no example"


def test_scales_hold_what_they_show(facts):
    assert noise_floor(facts) == pytest.approx(0.0019)  # |uniform on ±0.002| has its 95 % quantile at 0.0019
    low, high = probability_limits(facts.effects)
    assert low < -2
    assert 59 < high < 65
    low, high = probability_limits(facts.effects[:1])
    assert high - low >= 10  # chance is not blown up to the height of a figure
    low, high = margin_limits(facts.effects)
    assert low < 0
    assert 5.72 < high < 6.2


def test_words_for_numbers_and_settings():
    assert number(-0.0001, signed=True) == "0.00"
    assert number(-1.5, 1) == "−1.5"
    assert number(float("inf")) == "—"
    assert probability(0.0004) == "< 0.001"
    assert flat({"a": {"b": (1, 2)}, "c": None, "d": True}) == {"a.b": "1, 2", "c": "none", "d": "yes"}


def test_plain_differences_stand_before_the_directions(pages):
    index = pages["index"]
    words = index.words("plain")
    assert "A is right on 97.0 % [93.0, 99.0] and B on 95.0 % [93.0, 97.0] of the images." in words
    assert "They differ beyond chance in: accuracy, accuracy on class 8." in words
    assert "one of each for 90.0 %: the algorithms disagree more than seeds explain (p = 0.001)" in words
    assert "1 more groups stand in the files." in words
    assert index.words().index("Plain differences") < index.words().index("Variance of the directions")


def test_a_page_says_who_carries_a_direction_and_an_effect(pages):
    page = pages["direction-a-b-1"].words()
    assert "It is carried by one test image and about 52 training images" in page
    assert "2 of the 12 furthest training examples are copies of test images." in page
    effects = pages["transformations"].words()
    assert "About 31 models of each and 640 images would decide." in effects
    assert "The effect on B sits in one image, so its interval may be too narrow." in effects
    assert "a kind of image that makes up to 3.3 % of all may not be among them" in effects
    assert "undecided" in pages["index"].words("effects")


def test_differences_in_spread_are_said_and_shown(facts, pages):
    words = pages["index"].words("spread")
    assert "make one algorithm less stable than the other, by squared residuals of the datamodels" in words
    assert "About 41 training examples carry it, and it shows on about 13 of the 40 test examples" in words
    assert "Left in, they make A less stable than B" in words
    assert "Left in, they make B less stable than A" in words
    assert facts.spread is not None
    calm = replace(facts, spread=replace(facts.spread, significant=False, p=0.4, kind="spread"))
    told = Page(render(calm)["index.html"]).words("spread")
    assert "beyond chance, by how far models of one subset lie apart (p = 0.400)" in told
    assert "Left in" not in told
