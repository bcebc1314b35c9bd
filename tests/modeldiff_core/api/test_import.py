"""The import of the library alone: fast, and nothing heavy."""

import json
import subprocess
import sys
import time

LIGHT = {"jaxtyping"}
"""What may come with it besides the standard library: looked for, not imported."""
CODE = """
import json, sys
before = set(sys.modules)
import modeldiff_core
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(name for name in new if name not in sys.stdlib_module_names)))
print(json.dumps(sorted(set(dir(modeldiff_core)) & set(modeldiff_core.__all__))))
"""


def test_the_import_pulls_in_nothing_but_itself_and_takes_no_time() -> None:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    pulled_in, names = map(json.loads, done.stdout.splitlines())
    assert set(pulled_in) - LIGHT == {"modeldiff_core"}
    assert {"Algorithm", "Data", "Report", "Study", "compare", "submit"} <= set(names)
    assert seconds < 5  # of a busy machine, with the start of Python; quiet ones take 0.05


def test_an_import_in_a_quiet_process_is_below_half_a_second() -> None:
    code = "import time; t = time.process_time(); import modeldiff_core; print(time.process_time() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.5
