"""The checks of ``reinforce doctor``."""
