"""What a config needs from elsewhere, fetched by one command: data sets, split files, weights, models of the hub."""
