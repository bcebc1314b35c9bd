"""The experiment ``leakage``: how much of the largest attributions lies where nothing tells the class."""
