"""The way of one request: decide, answer, degrade, and put it on record."""
