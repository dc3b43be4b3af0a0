"""Tasks: aligned features to predictions and metrics, one file each."""
