"""Trained agents that anyone can have: cards, and the places where they are kept."""
