"""What reads raw items: joint training, weight averaging, and their stages."""
