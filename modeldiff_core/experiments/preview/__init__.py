"""The experiment ``preview``: how two algorithms may differ, from a handful of differentiated trainings."""
