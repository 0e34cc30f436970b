"""What stands behind a route: models behind one seam, and the gateway that answers through them."""
