"""A session as text for other programs, and back: one file of `formats/` for each format."""
