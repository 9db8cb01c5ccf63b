"""What code and errors say in plain words, read from the code alone."""
