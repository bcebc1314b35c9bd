"""The experiment ``league``: several algorithms compared pairwise on shared models, with one overview."""
