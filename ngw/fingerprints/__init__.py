"""What a rule's result depends on beside its inputs: the code that it reaches, and what lies outside `results/`."""
