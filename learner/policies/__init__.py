"""The policy without Torch: what it sees, does and records."""
