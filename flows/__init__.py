"""Prefect flows and the command line: thin, one file a flow."""
