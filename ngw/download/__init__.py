"""All downloads of a config by one command: data sets, split files, weights, models of the hub."""
