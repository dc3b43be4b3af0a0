"""Networks: their training loop, optimiser and processes."""
