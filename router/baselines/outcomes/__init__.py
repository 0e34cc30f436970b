"""The other ways to route by outcomes, to compare with. One file per family, one protocol."""
