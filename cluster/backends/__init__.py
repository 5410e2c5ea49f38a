"""Backends, which play tickets and learn: in this process, or on Ray."""
