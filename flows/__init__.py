"""Prefect flows; the command line, the runners, and what deals with Prefect's API have packages of their own."""
