"""One file per family of models; see mtchat/generate/prompt/family.py for what a file must define."""
