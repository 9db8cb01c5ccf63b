"""Decoding on the CPU: C kernels multiply the weights of a GGUF file in their quantised form."""
