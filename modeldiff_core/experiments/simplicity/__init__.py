"""The experiment ``simplicity``: which of several features that tell the class a network relies on."""
