"""How fast it is: engines measured against each other, and runs of the sandbox timed."""
