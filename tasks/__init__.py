"""Prefect tasks: thin, one file a stage; each calls one function of the core and stores what it returns."""
