import base64
import io
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from modeldiff_core.data import Examples, Plant, Watermark
from modeldiff_core.data.digits import Digits
from modeldiff_core.report import AlgorithmFacts, CurveFacts, DirectionFacts, EffectFacts, EndFacts, ReportFacts, render
from modeldiff_core.report.dose_response import margin_limits, probability_limits
from modeldiff_core.report.ends import class_counts, ends
from modeldiff_core.report.figures import noise_floor
from modeldiff_core.report.images import tile
from modeldiff_core.report.subpopulations import difference_picture
from modeldiff_core.report.words import flat, number, percent, probability

PLANT = Plant(8, 0.7, Watermark(0, 0, 2, 3))
INTENSITIES = np.array([0.0, 0.5, 1.0])
END = EndFacts(
    7, ("planted: 6 of 7 (8.1 % of all), p < 0.001", "brighter by 9 [5, 12] than other images of the same classes"),
    np.full((8, 8, 1), 90.0), np.linspace(-40, 120, 64).reshape(8, 8, 1), np.full((8, 8, 1), 12.5),
)  # fmt: skip
VOID = {"meta", "link", "img", "source", "br"}
SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """Every element with its attributes, the ids and open state of what surrounds it, and the text of the page."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.within: dict[str, list[str]] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(content.decode())
        assert not self._open, "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] in {"script", "style"}:
            return
        text = " ".join(data.split())
        if text:
            self.text.append(text)
            for _, name in self._open:
                if name:
                    self.within.setdefault(name, []).append(text)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def by_id(self, name: str) -> dict[str, str | None]:
        (found,) = [attributes for _, attributes in self.elements if attributes.get("id") == name]
        return found

    def words(self, within: str | None = None) -> str:
        return " ".join(self.text if within is None else self.within[within])


def decoded(uri: str) -> tuple[str, bytes]:
    head, _, body = uri.partition(",")
    assert head.startswith("data:")
    assert head.endswith(";base64")
    return head.removeprefix("data:").removesuffix(";base64"), base64.b64decode(body, validate=True)


def direction(side: str, index: int, train: Examples, targets: Examples, significant: bool) -> DirectionFacts:
    """The first of A−B lies along the planted mark; the others are noise."""
    rng = np.random.default_rng([index, side == "a-b"])
    planted = side == "a-b" and index == 0

    def pattern(examples: Examples) -> np.ndarray:
        noise = rng.normal(0, 0.1, len(examples))
        return noise + (examples.metadata["planted"] if planted else 0)

    weights = pattern(train)
    own, other = 0.011 / (index + 1) ** 2, 0.0004
    a, b = (own, other) if side == "a-b" else (other, own)
    return DirectionFacts(
        side=side, index=index, variance_a=a, variance_b=b, in_sample_a=a + 0.009, in_sample_b=b + 0.002,
        null_p=0.004 if significant else 0.43, stability=0.91, significant=significant,
        projections=pattern(targets), weights=weights / np.linalg.norm(weights),
        ends={("targets", "positive"): END} if planted else {},
    )  # fmt: skip


def effect(
    name: str, class_name: str | None, top: float, images: np.ndarray, intensities=INTENSITIES, along: str = ""
) -> EffectFacts:
    def curve(height: float) -> CurveFacts:
        mean = height * np.sqrt(intensities)
        return CurveFacts(mean, mean - 0.02, mean + 0.02)

    return EffectFacts(
        name=name, description="A checker in the corner.", class_name=class_name, intensities=intensities,
        a=curve(top), b=curve(0.005), difference=top - 0.005, difference_low=top - 0.03, difference_high=top + 0.02,
        p_adjusted=0.0002 if top > 0.1 else 0.6, distinguishing=top > 0.1, images=90,
        before=images, after=PLANT.watermark.stamp(images), margin_a=curve(10 * top), margin_b=curve(0.1),
        margin_difference=10 * top - 0.1, margin_difference_low=10 * top - 0.3, margin_difference_high=10 * top,
        margin_p_adjusted=0.0001, along=along,
    )  # fmt: skip


@pytest.fixture(scope="module")
def facts() -> ReportFacts:
    data = Digits(n_train=120, n_test=160, plant=PLANT).load()
    algorithm = AlgorithmFacts(
        name="plain", settings={"network": {"kind": "mlp", "widths": (64,)}, "epochs": 15, "augmentations": ()},
        subset_models=3000, diverged=2, ensemble_models=200, subset_accuracy=0.913, ensemble_accuracy=0.957,
        lds_mean=0.412, lds_low=0.401, lds_high=0.423,
    )  # fmt: skip
    erased = {**algorithm.settings, "augmentations": ({"kind": "erase", "top": 0},)}
    return ReportFacts(
        study="digits_watermark", digest="3fa9c1d2", dataset={"kind": "digits"}, classes=data.classes, a=algorithm,
        b=replace(algorithm, name="corner_erased", settings=erased, diverged=0, lds_mean=float("nan")),
        similarity=0.8031,
        directions=tuple(
            direction(side, index, data.train, data.test, index == 0) for side in ("a-b", "b-a") for index in (0, 1)
        ),
        null=np.linspace(-0.002, 0.002, 401),
        effects=(effect("dim", None, 0.01, data.test.images[:3]), effect("checker", "8", 0.57, data.test.images[:4])),
        train=data.train, targets=data.test, config={"subsets": {"fraction": 0.5}, "seed": 7},
        versions={"torch": "2.13.0"}, findings=("The mark moves A & not B.",),
        found=(
            effect("strongest patch", "8", 0.44, data.test.images[:3], along="A−B 1, B−A 2"),
            effect("less contrast", None, 0.02, data.test.images[:3], along="B−A 1"),
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def files(facts) -> dict[str, bytes]:
    return render(facts)


@pytest.fixture(scope="module")
def page(files) -> Page:
    return Page(files["index.html"])


def test_every_image_is_inside_the_page_has_words_and_decodes(page):
    kinds = Counter()
    for image in page.all("img"):
        assert image["alt"].strip()
        kind, content = decoded(image["src"])
        kinds[kind] += 1
        if kind == "image/svg+xml":
            assert ElementTree.fromstring(content).tag == f"{SVG}svg"
        else:
            with Image.open(io.BytesIO(content)) as picture:
                picture.load()
                assert picture.size == (112, 112)
    assert kinds["image/svg+xml"] == 4  # variance, two effects and one that was found
    # Galleries, what one end shares, and pairs of the effects and of the one that was found.
    assert kinds["image/png"] == 2 * (2 * 2 * 12) + 2 * (2 * 2 * 6) + 3 + 2 * (3 + 4 + 3)


def test_nothing_is_loaded_from_elsewhere(page, files):
    addresses = [a[key] for _, a in page.elements for key in ("src", "srcset", "href", "action", "data") if a.get(key)]
    assert len(addresses) > 100
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert {address[1:] for address in addresses if address[0] == "#"} <= {a.get("id") for _, a in page.elements}
    assert b"url(" not in files["index.html"]
    assert b"@import" not in files["index.html"]
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_the_same_facts_give_the_same_bytes(facts, files):
    few = replace(facts, effects=facts.effects[:1], directions=facts.directions[:1], found=())
    first, second = render(few), render(few)
    assert len(first) > 4
    assert first == second
    for name in set(first) & set(files) - {"index.html", "figures/variance.svg", "figures/variance.png"}:
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
    page = Page(out["index.html"])
    assert len(page.all("script")) == 1
    assert evil in page.words("findings")
    assert page.words().count(evil) > 48  # each image of the galleries and more
    assert all(name.replace("figures/", "").replace(".", "-").replace("-", "").isalnum() for name in out)
    (drawing,) = [content for name, content in out.items() if name.startswith("figures/effect") and name[-3:] == "svg"]
    texts = [node.text for node in ElementTree.fromstring(drawing).iter(f"{SVG}text")]
    assert f"change of P({evil}), percentage points" in texts
    assert not list(ElementTree.fromstring(drawing).iter(f"{SVG}script"))


def test_the_variance_figure_names_the_significant_directions(files):
    root = ElementTree.fromstring(files["figures/variance.svg"])
    texts = {node.text for node in root.iter(f"{SVG}text")}
    assert {"A−B 1", "B−A 1", "x = y", "matters more to A", "variance under B", "noise floor"} <= texts
    with Image.open(io.BytesIO(files["figures/variance.png"])) as picture:
        assert picture.size == (1240, 1200)
        assert len(picture.convert("RGB").getcolors(10**6)) > 20  # not blank
    for name, content in files.items():
        if name.endswith(".png"):
            with Image.open(io.BytesIO(content)) as picture:
                assert min(picture.size) >= 400
                assert max(picture.size) <= 2400


def test_what_is_not_significant_is_marked_and_folded(page):
    shown, folded = page.by_id("direction-a-b-1"), page.by_id("direction-a-b-2")
    assert "open" in shown
    assert "faint" not in shown["class"]
    assert "open" not in folded
    assert "faint" in folded["class"].split()
    assert "not significant" in page.words("direction-a-b-2")
    assert "not significant" not in page.words("direction-a-b-1")
    order = [a["id"] for a in page.all("details") if a.get("id")]
    assert order == ["direction-a-b-1", "direction-a-b-2", "direction-b-a-1", "direction-b-a-2"]


def test_a_direction_says_what_its_ends_share(facts, page):
    first = facts.directions[0]
    top = np.argsort(-first.projections)[:12]
    planted = int(facts.targets.metadata["planted"][top].sum())
    assert planted >= 10  # the projections follow the mark
    overall = percent(facts.targets.metadata["planted"].mean())
    words = page.words("direction-a-b-1")
    assert " ".join(f"planted: {planted} of 12 ({overall} of all)".split()) in words
    label, count = Counter(facts.targets.labels[top].tolist()).most_common(1)[0]
    assert label == PLANT.label
    assert f"{facts.classes[label]} ({count} of 12)" in words
    assert "planted: 0 of 12" in words
    assert number(first.projections.max(), signed=True) in words
    assert number(first.projections.min(), signed=True) in words
    assert "0.0110" in words
    assert "in-sample 0.0200" in words


def test_an_end_says_and_shows_what_its_images_share(page):
    words = page.words("direction-a-b-1")
    assert "What the 7 furthest share:" in words
    assert "brighter by 9 [5, 12] than other images of the same classes" in words
    assert "difference to ±120" in words
    assert "furthest share" not in page.words("direction-b-a-1")
    picture = difference_picture(END.difference)
    assert picture[0, 0, 2] > picture[0, 0, 0], "darker is blue"
    assert picture[-1, -1, 0] > picture[-1, -1, 2], "brighter is red"
    nearest = np.unravel_index(np.abs(END.difference[..., 0]).argmin(), (8, 8))
    assert picture[nearest].min() > 250, "no difference is white"
    colour = np.zeros((2, 2, 3))
    colour[0, 0, 1] = -30
    np.testing.assert_array_equal(difference_picture(colour)[0], [[128, 0, 128], [128, 128, 128]])


def test_only_what_the_search_confirmed_is_drawn(page, files):
    effects = page.words("effects")
    assert "1 of 2 was confirmed." in effects
    assert "Along A−B 1, B−A 2." in effects
    assert "strongest patch → class 8 distinguishing" in effects
    assert "less contrast B−A 1 own class" in effects
    assert "+4.40 [4.10, 4.40]" not in effects
    assert "+4.30 [4.10, 4.40]" in effects
    assert [name for name in files if "found" in name] == [
        "figures/found-01-strongest-patch-8-images.png",
        "figures/found-01-strongest-patch-8.png",
        "figures/found-01-strongest-patch-8.svg",
    ]


def test_the_tables_tell_settings_scores_and_effects(page):
    words = page.words("algorithms")
    assert words.index("kind erase, top 0") < words.index("settings in common") < words.index("network.kind")
    assert "3,000 (2 diverged and left out)" in words
    assert "0.41 [0.40, 0.42]" in words
    assert "— [0.40, 0.42]" in words  # a score that is not a number
    assert "0.80 mean cosine similarity" in words
    effects = page.words("effects")
    assert "+57.0 [55.0, 59.0]" in effects
    assert "+0.5 [−1.5, 2.5]" in effects
    assert "own class" in effects
    assert effects.index("checker → class 8 distinguishing") < effects.index("dim → own class not distinguishing")
    assert "< 0.001" in effects
    methods = page.words("methods")
    assert "modeldiff compare study=digits_watermark" in methods
    assert "subset of 50 % of the 120 training images" in methods
    assert '"fraction": 0.5' in methods


def test_a_comparison_without_directions_and_effects_is_still_a_page(facts):
    out = render(
        replace(facts, directions=(), effects=(), found=(), null=np.zeros(0), findings=(), versions={}, config={})
    )
    assert list(out) == ["index.html"]
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
    page = Page(
        render(replace(facts, targets=targets, directions=many, effects=(single,), found=(), null=np.zeros(0)))[
            "index.html"
        ]
    )
    assert len([a for a in page.all("details") if a.get("id")]) == 10
    assert "15 more that are not significant" in page.words("directions")
    assert "A−B 25" in page.words("variance")
    sizes = {
        Image.open(io.BytesIO(decoded(image["src"])[1])).size
        for image in page.all("img")
        if image["src"].startswith("data:image/jpeg")
    }
    assert sizes == {(120, 80)}  # three colour channels, never enlarged beyond use
    assert "At intensity 3: A +69.3" in next(i["alt"] for i in page.all("img") if "over intensity" in i["alt"])


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
