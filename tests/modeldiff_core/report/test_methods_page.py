"""The page of methods: how to make and cite a comparison, its data, and how everything was tested."""

import json
from dataclasses import replace

from modeldiff_core.data.inventory import ClassSeen, Inventory
from modeldiff_core.data.notes import Tally
from modeldiff_core.report import render
from modeldiff_core.report.citation import BIBTEX, PLAIN
from modeldiff_core.report.methods import steps
from tests.modeldiff_core.report.pages import Page


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


def test_the_appendix_has_the_table_of_the_data(facts, files):
    inventory = Inventory(
        train=120,
        test=160,
        classes=(ClassSeen(0, "<b>cat</b>", "7", 120, 160),),
        changed=(Tally("turned upright by their EXIF tag", 3, 1, ("train/a.jpg", "train/b.jpg")),),
        left_out=(Tally("hidden (name begins with a dot)", 2),),
        remarks=("mind the copies",),
    )
    little = replace(facts, inventory=inventory, effects=(), found=(), learning=None, estimators=())
    words = Page(render(little)["methods.html"]).words("data")
    assert "mind the copies." in words
    assert "read 120 160" in words
    assert "label 0: <b>cat</b> (written 7) 120 160" in words
    assert "turned upright by their EXIF tag 3 1 train/a.jpg, train/b.jpg, …" in words
    assert "Left out hidden (name begins with a dot) 2 0" in words
    assert 'id="data"' not in files["methods.html"].decode()


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
    assert "40 times the models of A, or in turn of B, were split" in parts
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
