"""A config's whole workflow on made data of the true sizes: which job breaks, what each costs (`ngw rehearse`)."""
