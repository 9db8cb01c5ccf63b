"""Triton kernels for the steps of `plain`: a layer takes three of them, or five.

Imports triton, which comes with torch for CUDA.
"""

from mtchat.engine.gpu.kernels.attention import attend
from mtchat.engine.gpu.kernels.choice import choose
from mtchat.engine.gpu.kernels.embedding import embed
from mtchat.engine.gpu.kernels.products import product
from mtchat.engine.gpu.kernels.reading import attend_all

__all__ = ["attend", "attend_all", "choose", "embed", "product"]
