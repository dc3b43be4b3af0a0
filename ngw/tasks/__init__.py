"""Tasks: aligned features to predictions and metrics, one file each."""

CEILING = "true-latents"  # the control of generation that reads the target's own latents, as its runs are called
