"""Loads models from GGUF files and hub folders, for the CPU kernels, for a GPU, or for transformers."""
