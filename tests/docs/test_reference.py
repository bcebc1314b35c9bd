"""The reference: every public name has its page, and a function's says its formula, its shapes and its source."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.pages import reference
from harness.pages.reference import Name

NAMES = [name for package in reference.packages() for name in package.names]
FUNCTIONS = {name.name: name for name in NAMES if name.definition[0] == "function"}
AXES = {"Bool", "Float", "Int", "Num", "Real", "Shaped", "UInt8"}
"""Annotations of arrays that say the axes."""
ARITHMETIC = {"comparison", "datamodels", "evaluation", "images", "margins", "metagradients", "responses", "statistics"}
"""Packages whose functions compute what a formula says."""
FORMULA = re.compile(r"[=≤≥<>√Σ∂·⟨‖⌈⌊∩ᵀ]| [−+] |/\d|/\(")
WITHOUT_FORMULA = {
    "center_crop": "gives pixels as they are",
    "check_differentiable": "gives nothing",
    "common_fits": "fits what the datamodels of its estimator are",
    "extremes": "gives positions",
    "generator_of": "gives random numbers",
    "polka_dots": "draws what its words say",
    "process_of": "gives a training",
    "random_rectangles": "draws as torchvision does",
    "rank_correlation": "is correlation of average_ranks",
    "shift_each": "moves pixels as they are",
    "resize": "is window of the whole image",
    "to_pixels": "rounds",
}
SOURCES = {
    "ablated_outputs": "COAR, section 3",
    "balanced": "Graham 1969",
    "canonical_correlations": "Hotelling, 1936",
    "color_luminance": "ITU-R BT.601",
    "correct_class_margin": "ModelDiff, sec. 3",
    "edited_state": "COAR, section 5",
    "enrichments": "Tarone, 1990",
    "exchanged": "Westfall and Young, 1993",
    "fit_difference_in_means": "Feldman and Zhang (2020)",
    "fit_lasso": "Datamodels, eq. 3",
    "gradient_attributions": "Dhamdhere et al., 2018",
    "holm": "Holm, 1979",
    "is_distinguishing": "arXiv 2211.12491",
    "judge": "arXiv 2211.12491",
    "linear_cka": "Kornblith et al., 2019, section 3",
    "linear_datamodeling_score": "TRAK, section 2",
    "log_odds": "TRAK, sec. 3",
    "luminance": "ITU-R BT.601",
    "mean_cca": "Kornblith et al., 2019, table 1",
    "p_values": "Phipson and Smyth, 2010",
    "random_rectangles": "torchvision's RandomResizedCrop",
    "residual": "ModelDiff, section 3",
    "residual_pca": "ModelDiff, section 3",
    "reverse_products": "arXiv 2503.13751",
    "trend": "Jonckheere, 1954",
    "two_way_interval": "Satterthwaite",
    "welch_scores": "COAR, section 5",
}
"""Where what a function computes is described, for those that compute what somebody else has described."""


def text_of(page: Path) -> str:
    """Return what the article of a page says, with single blanks."""
    html = page.read_text()
    article = html[html.index("<article") : html.index("</article")]
    plain = re.sub(r"<[^>]+>", "", article)
    for written, sign in {"&#39;": "'", "&quot;": '"', "&gt;": ">", "&lt;": "<", "&amp;": "&"}.items():
        plain = plain.replace(written, sign)
    return re.sub(r"\s+", " ", plain)


def without_axes(annotation: ast.expr) -> Iterator[str]:
    """Yield the arrays in an annotation that say no axes."""
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name) and annotation.value.id in AXES:
        return
    if ast.unparse(annotation) in ("np.ndarray", "ndarray", "Tensor", "torch.Tensor"):
        yield ast.unparse(annotation)
    for part in ast.iter_child_nodes(annotation):
        if isinstance(part, ast.expr):
            yield from without_axes(part)


def bare_arrays(name: Name) -> list[str]:
    """Return the arrays in a function's signature that say no axes, also where a short name stands for them."""
    meant = [ast.parse(text, mode="eval").body for text in name.types.values()]
    return [array for one in (*reference.annotations(name), *meant) for array in without_axes(one)]


def test_every_public_name_has_a_page_with_its_docstring(site: Path) -> None:
    assert len(NAMES) > 250
    for name in NAMES:
        html = (site / name.page).with_suffix(".html").read_text()
        assert f'id="{name.path}"' in html, name.path
        assert name.words, name.path
        own = f"import modeldiff_core as md md.{name.name}" if name.package == "modeldiff_core" else ""
        assert (own or f"from {name.package} import {name.name}") in text_of((site / name.page).with_suffix(".html"))


def test_pages_of_names_are_files_of_their_own_whatever_the_case() -> None:
    pages = [name.page.lower() for name in NAMES] + [package.page.lower() for package in reference.packages()]
    assert len(set(pages)) == len(pages)
    assert reference.file_names(["Survey", "survey", "LUMINANCE", "luminance", "Step"]) == {
        "Survey": "Survey-class",
        "survey": "survey",
        "LUMINANCE": "LUMINANCE-value",
        "luminance": "luminance",
        "Step": "Step",
    }


def test_the_search_and_the_navigation_know_every_public_name(site: Path) -> None:
    found = json.loads((site / "search/search_index.js").read_text().removeprefix("var __index = "))
    known = {(entry["title"], entry["location"]) for entry in found["docs"]}
    for package in reference.packages():
        page = (site / package.page).with_suffix(".html").read_text()
        for name in package.names:
            place = name.page.removesuffix(".md") + ".html"
            assert (name.name, place) in known, name.path
            assert f'href="{place.rpartition("/")[2]}"' in page, name.path


def test_arrays_in_signatures_say_their_axes() -> None:
    checked = 0
    for name in FUNCTIONS.values():
        bare = bare_arrays(name)
        if bare:
            assert re.search(r"\[[a-z, ._]+\]", name.definition[1]) or "own state_dict" in name.definition[1], name.path
        checked += any(one in ast.unparse(part) for part in reference.annotations(name) for one in AXES)
    assert checked > 50
    assert list(without_axes(ast.parse("dict[str, np.ndarray] | Float[np.ndarray, 'a']", mode="eval").body)) == [
        "np.ndarray"
    ]


def test_functions_that_compute_say_their_formula() -> None:
    silent = {
        name.name
        for name in FUNCTIONS.values()
        if name.package.rpartition(".")[2] in ARITHMETIC and not FORMULA.search(name.definition[1])
    }
    assert silent <= WITHOUT_FORMULA.keys()
    assert silent == WITHOUT_FORMULA.keys(), "an exception that is none any more"


@pytest.mark.parametrize("function", SOURCES)
def test_functions_say_where_what_they_compute_is_described(function: str) -> None:
    assert SOURCES[function] in " ".join(FUNCTIONS[function].definition[1].split())


@pytest.mark.parametrize(
    ("page", "parts"),
    [
        (
            "comparison/residual",
            ("⟨θ_A, θ_B⟩/‖θ_B‖²", 'theta_a: Float[ndarray, "targets train"]', "ModelDiff, section 3"),
        ),
        ("comparison/residual_pca", ("Weights: Float[np.ndarray, 'targets train']", "ModelDiff, section 3")),
        ("datamodels/Datamodels", ("margin[target] ≈ bias[target]", "weights: Float[np.ndarray, 'targets train']")),
        ("python/compare", ("train(images, labels, seed)", "ConfigError")),
        ("transformations/TRANSFORMATIONS", ("set_column", "entry points")),
    ],
)
def test_formula_shapes_and_source_are_shown(site: Path, page: str, parts: tuple[str, ...]) -> None:
    text = text_of(site / f"reference/{page}.html")
    assert [part for part in parts if part not in text] == []
