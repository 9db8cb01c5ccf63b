"""One file per way to fill a hole; see mtchat/generate/prompt/infill.py for what a file must define."""
