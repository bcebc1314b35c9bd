"""The HTML report of a comparison and its figures."""

from modeldiff_core.report.html import render

__all__ = ["render"]
