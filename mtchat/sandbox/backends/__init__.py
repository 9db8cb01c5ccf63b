"""Ways to contain a program, one file each; `mtchat.sandbox.backend` says what a file must have."""
