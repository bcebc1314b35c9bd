"""Datasets: labeled images in memory, where they come from, and features planted in them."""

from modeldiff_core.data.examples import Dataset, Examples
from modeldiff_core.data.known import Given, Known, nothing_known
from modeldiff_core.data.plants import Plant, Watermark
from modeldiff_core.data.sources import SOURCES, Source

__all__ = ["SOURCES", "Dataset", "Examples", "Given", "Known", "Plant", "Source", "Watermark", "nothing_known"]
