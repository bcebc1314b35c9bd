"""Everything that the platform computes on a GPU, checked against the CPU and measured, in at most ten minutes.

    python -m benchmarks.gpu                         on the first CUDA device
    python -m benchmarks.gpu --device cpu --quick    tries the script out, about a minute

Needs torch, numpy, scikit-learn, safetensors and fsspec, and no network. Prints a block for RESULTS.md, or adds it to
the file that --out names. Exit codes: 0 all held, 1 something did not, 2 the request was wrong.

A further kernel is a file with a function from `Bench` to results, and a line in `checks.py`.
"""
