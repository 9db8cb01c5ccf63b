"""One sandbox kept alive, with the states of a program in it, so that a turn runs only its own code."""
