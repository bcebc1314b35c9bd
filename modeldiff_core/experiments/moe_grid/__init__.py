"""The experiment ``scaling``: mixtures of experts of many sizes, sparsities and budgets, and laws of their losses."""
