"""The kernel: from text to a decision, and the shelf where fitted routers stand."""
