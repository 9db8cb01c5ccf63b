"""One turn of a conversation: made, run, chosen among candidates, mended."""
