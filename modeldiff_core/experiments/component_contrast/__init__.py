"""Where in the networks of two algorithms the effect of a transformation is made."""
