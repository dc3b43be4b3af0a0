"""Methods that read raw items: joint training, weight averaging, and their stages."""
