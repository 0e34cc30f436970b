"""What routing would cost and save: assumptions or recorded outcomes in, dollars with an interval and its causes out."""
