"""Importers: other people's outcome files to our long form, one small file per source."""
