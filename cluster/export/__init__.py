"""Trained policies: playing, filming and exporting them."""
