"""Pages of the documentation site that are made from the code, the shipped studies and files outside docs/."""
