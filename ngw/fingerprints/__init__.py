"""What a rule's result depends on besides its inputs: the code that it reaches, and sources outside `results/`."""
