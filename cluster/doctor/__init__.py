"""What ``reinforce doctor`` looks at."""
