"""Decoding on the processor: quantised weights as a GGUF file holds them, multiplied by kernels of our own."""
