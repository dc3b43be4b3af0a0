"""Metrics: pure functions of arrays; no file, no config, no torch."""
