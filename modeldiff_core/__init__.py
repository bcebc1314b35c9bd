"""ModelDiff's library: how two learning algorithms differ, from subset models to a report."""

from modeldiff_core.shapes import provide_shapes

__version__ = "0.1.0"

# Before any other module of the library: nearly all of them name shapes in their annotations.
provide_shapes()
