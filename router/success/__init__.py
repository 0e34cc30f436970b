"""Success heads: P(good answer) per model, from outcomes. Views of a query, and the blend that was learned out-of-fold."""
