"""Who plays tickets and who learns: in this process, or on Ray."""
