"""Commands for people, which no rule runs: status, plan, provenance."""
