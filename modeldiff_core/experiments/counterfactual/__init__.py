"""Whether margins move as datamodels say when the examples that they name are left out."""
