"""Two frozen encoders and a fitted method as one model of pictures and texts: classify, index, search, serve."""
