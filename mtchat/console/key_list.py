"""The keys of the prompt and what each does, for /help and the README."""

KEYS = (
    ("Enter", "sends the instruction"),
    ("Alt-Enter", "starts a new line; a pasted text stays one instruction"),
    ("Ctrl-X Ctrl-E", "edits the instruction in $EDITOR"),
    ("Up, Down, Ctrl-R", "earlier instructions; → takes the grey suggestion"),
    ("Ctrl-C", "stops the model or the run, and keeps what is there"),
    ("Ctrl-Z", "suspends mtchat; fg in the shell brings it back"),
    ("Ctrl-D", "leaves; everything is saved"),
)
