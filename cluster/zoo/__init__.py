"""Trained agents to share: their cards and places."""
