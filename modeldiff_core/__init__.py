"""ModelDiff's library: how two learning algorithms differ, from subset models to a report."""

__version__ = "0.1.0"
