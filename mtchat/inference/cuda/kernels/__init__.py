"""Triton kernels for the steps of `plain`: a layer takes three of them, or five.

Imports triton, which comes with torch for CUDA.
"""

from mtchat.inference.cuda.kernels.attention import attend, attend_all
from mtchat.inference.cuda.kernels.launch import embed
from mtchat.inference.cuda.kernels.linear import product
from mtchat.inference.cuda.kernels.sampling import choose

__all__ = ["attend", "attend_all", "choose", "embed", "product"]
