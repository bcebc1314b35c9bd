"""Tests; a package, so that pytest puts the repository's root on the path and never this folder's `modeldiff_core`."""
