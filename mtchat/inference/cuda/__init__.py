"""Decoding on a GPU at the speed of its memory: fused weights, few kernels per token, CUDA graphs."""
