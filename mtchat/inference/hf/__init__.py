"""Decoding with transformers' own modules: any architecture and precision, on any device; the reference."""
