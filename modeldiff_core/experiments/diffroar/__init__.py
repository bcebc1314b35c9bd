"""The experiment ``diffroar``: whether what an attribution ranks highest tells more of the class than the lowest."""
