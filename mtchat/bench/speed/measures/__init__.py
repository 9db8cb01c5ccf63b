"""What is measured of a model, one file each; `mtchat.bench.speed.measure` says what a file must have."""
