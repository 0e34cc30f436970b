"""The judge: replays decisions over labelled queries and says how good they were, and how sure that is."""
