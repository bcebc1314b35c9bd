"""ModelDiff from Python: algorithms, data, comparisons and reports in a notebook or a script."""
