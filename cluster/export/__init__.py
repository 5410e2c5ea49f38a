"""What is done with a trained policy: played, filmed, exported."""
