"""A config's whole workflow on made data of the true sizes: what breaks, and what each job takes (`ngw rehearse`)."""
