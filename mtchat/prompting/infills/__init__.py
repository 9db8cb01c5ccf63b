"""One file per way in which models fill holes; see mtchat/prompting/infill.py for what a file must define."""
