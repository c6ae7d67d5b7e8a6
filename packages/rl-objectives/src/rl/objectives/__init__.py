"""rl.objectives."""
