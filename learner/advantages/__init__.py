"""Advantages: from a batch of episodes to a number for every step."""
