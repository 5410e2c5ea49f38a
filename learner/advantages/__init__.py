"""From a batch of episodes to the advantage of every step."""
