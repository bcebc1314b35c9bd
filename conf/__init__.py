"""Configuration groups for Hydra: YAML files, and the defaults of the classes that they fill."""

from modeldiff_platform.conf.defaults import register

register()
