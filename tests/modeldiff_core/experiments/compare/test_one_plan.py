"""The order of a comparison's stages is written down once: no other module names two of them."""

import ast
import importlib
from pathlib import Path

REPOSITORY = Path(__file__).parents[4]
STAGES = {
    "make_shard": "modeldiff_core.stages.shards",
    "gather": "modeldiff_core.stages.matrix",
    "follow_curve": "modeldiff_core.stages.curve",
    "count_masks": "modeldiff_core.stages.gram",
    "regress_block": "modeldiff_core.stages.regress",
    "finish_regression": "modeldiff_core.stages.regress",
    "score": "modeldiff_core.stages.score",
    "find_directions": "modeldiff_core.stages.directions",
    "null_block": "modeldiff_core.stages.directions",
    "measure_effect": "modeldiff_core.stages.effects",
    "describe": "modeldiff_core.stages.enrichment",
    "propose_candidates": "modeldiff_core.stages.search",
    "rank_candidates": "modeldiff_core.stages.search",
    "measure_finalists": "modeldiff_core.stages.search",
    "write_summary": "modeldiff_core.experiments.reported",
    "write_report": "modeldiff_core.experiments.reported",
}


def stages_named(path: Path) -> set[str]:
    """The stages that a module takes from the modules that define them, as names or as attributes of these."""
    found: set[str] = set()
    modules: dict[str, str] = {}
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                if STAGES.get(name.name) == node.module:
                    found.add(name.name)
                modules[name.asname or name.name] = f"{node.module}.{name.name}"
        elif isinstance(node, ast.Import):
            modules |= {name.asname or name.name: name.name for name in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in STAGES:
            if modules.get(ast.unparse(node.value)) == STAGES[node.attr]:
                found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            module, _, name = node.value.partition(":")
            if STAGES.get(name) == module:
                found.add(name)
    return found


def test_stages_are_functions_of_their_modules() -> None:
    importlib.import_module("modeldiff_core.experiments.compare.plan")
    for name, module in STAGES.items():
        assert getattr(importlib.import_module(module), name).__module__ == module


def test_the_search_for_names_finds_them(tmp_path: Path) -> None:
    module = tmp_path / "graph.py"
    module.write_text(
        "import modeldiff_core.stages.matrix as m\n"
        "from modeldiff_core.stages import score\n"
        "from modeldiff_core.stages.search import rank_candidates as rank\n"
        "work = (m.gather, score.score, 'modeldiff_core.stages.gram:count_masks', other.gather)\n"
    )
    assert stages_named(module) == {"gather", "score", "count_masks", "rank_candidates"}


def test_no_module_but_the_plan_knows_two_stages() -> None:
    read = 0
    for package in ("modeldiff_core", "flows", "tasks"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            read += 1
            named = stages_named(path)
            own = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
            others = {name for name in named if STAGES[name] != own}
            assert len(others) < 2, f"{own} names {', '.join(sorted(others))}: let it read the plan"
    assert read > 200
