"""Two frozen encoders and a fitted method as one model of images and texts: classify, index, search, serve."""
