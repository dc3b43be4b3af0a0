"""T_AB and T_BA: their shapes (networks), what they minimise (objective), how they are fitted (fit)."""
