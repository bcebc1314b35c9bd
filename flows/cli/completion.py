"""``modeldiff completion``: verbs, keys and names of configurations for the shell's Tab."""

from collections.abc import Sequence

from modeldiff_core.errors import ConfigError

SHELLS = "bash", "zsh"
GROUPED = ("study", "dataset", "algorithm@algorithm_a", "algorithm@algorithm_b", "runner", "store", "comparison")
"""Overrides whose values are names of configurations."""
KEYS = "store.root", "subsets.models", "regression.estimator", "runner.workers", "runner.tune"
BASH = """
_modeldiff() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "{verbs}" -- "$word")); return; fi
  if [ "${{COMP_WORDS[1]}}" = list ]; then COMPREPLY=($(compgen -W "{lists}" -- "$word")); return; fi
  COMPREPLY=($(compgen -W "{overrides}" -- "$word"))
  case "${{COMPREPLY[0]}}" in *=) compopt -o nospace ;; esac
}}
COMP_WORDBREAKS="${{COMP_WORDBREAKS//=/}}"
complete -F _modeldiff modeldiff
"""


def completion(overrides: Sequence[str]) -> int:
    """Print a script that a shell reads: verbs, lists, and studies and other configurations of now."""
    from modeldiff_platform.flows.cli import VERBS
    from modeldiff_platform.flows.cli.listing import LISTS, names_of

    (shell,) = overrides
    if shell not in SHELLS:
        raise ConfigError("completion", "bash or zsh", shell)
    values = [f"{key}={name}" for key in GROUPED for name in names_of(key.partition("@")[0])]
    words = {
        "verbs": " ".join([*VERBS, "list", "show", "clean", "completion", "retry", "data", "--version", "--help"]),
        "lists": " ".join(LISTS),
        "overrides": " ".join([*values, *(f"{key}=" for key in KEYS)]),
    }
    zsh = "autoload -U +X bashcompinit && bashcompinit" if shell == "zsh" else ""
    print((zsh + BASH.format(**words)).strip())
    return 0
