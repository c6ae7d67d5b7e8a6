"""Recipes: one readable file per algorithm, from the public parts of rl-envs, rl-data and this wheel."""
