"""The product's one name in an environment: flows, tasks and configuration live under it, the library beside it.

In the repository the folders stand at the top level and are linked here. The published code of the paper has the name
``modeldiff`` in an environment, so that both can be installed.
"""
