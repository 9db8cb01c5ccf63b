"""The program's own process: runs the chunks and reports how they ended."""
