"""Decoding on the processor: weights as a GGUF file holds them, multiplied by kernels of our own."""
