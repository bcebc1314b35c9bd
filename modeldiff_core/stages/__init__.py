"""Stages: one arrow of the data flow each. They read references, call the core, write, and return a reference.

Arguments and results are plain JSON values, so that any runner can call a stage in any process.
"""
