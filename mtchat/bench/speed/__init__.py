"""Speed: engines measured against each other, and sandbox runs timed."""
