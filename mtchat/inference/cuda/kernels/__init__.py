"""Triton kernels for the steps of `plain`: a layer takes three of them, or five.

Imports triton, which comes with torch for CUDA.
"""

from mtchat.inference.cuda.kernels.attention import attend
from mtchat.inference.cuda.kernels.choice import choose
from mtchat.inference.cuda.kernels.embedding import embed
from mtchat.inference.cuda.kernels.products import product
from mtchat.inference.cuda.kernels.reading import attend_all

__all__ = ["attend", "attend_all", "choose", "embed", "product"]
