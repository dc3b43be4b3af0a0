"""Text to image: decoders of image latents, and their stages."""
