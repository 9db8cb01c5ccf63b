"""One file per family of models; see mtchat/prompting/family.py for what a file must define."""
