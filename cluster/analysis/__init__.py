"""Statistics and pictures of one run or many."""
