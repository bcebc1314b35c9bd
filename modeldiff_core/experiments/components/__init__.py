"""Which components of a network make a prediction: attributions from random ablations, and how good they are."""
