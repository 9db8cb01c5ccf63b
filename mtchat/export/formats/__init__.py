"""The formats that a session can be exported to; each file is one, and its name is the format's."""
