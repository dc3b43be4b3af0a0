"""Tasks: from aligned features to predictions and metrics, one file each."""

CEILING = "true-latents"  # the method name of generation's control, which reads the target's own latents
