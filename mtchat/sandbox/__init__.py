"""The only room that starts processes: runs a program in a sandbox and says what it did."""
