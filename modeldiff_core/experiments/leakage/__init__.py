"""The experiment ``leakage``: how much of the largest attributions lies on values that tell nothing of the class."""
