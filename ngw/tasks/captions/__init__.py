"""Image to text: a caption decoder, and its stages."""
