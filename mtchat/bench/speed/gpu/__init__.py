"""Decoding on a GPU, measured against transformers and the memory; only this part of bench imports torch."""
