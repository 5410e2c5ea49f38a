"""Many runs over a space of settings."""
