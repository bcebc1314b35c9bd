"""Configuration groups for Hydra: YAML files, and the defaults of the classes that they fill."""

from conf.defaults import register

register()
