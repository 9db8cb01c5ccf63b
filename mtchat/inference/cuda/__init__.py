"""Decoding at the memory's speed: fused weights, few kernels for a token, recorded as one CUDA graph."""
