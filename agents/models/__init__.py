"""The one seam to providers: real clients, and simulated models that ship."""
