"""The experiment ``removal``: which training examples a confirmed difference comes from, proved by retraining."""
