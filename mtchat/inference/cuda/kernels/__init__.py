"""Triton kernels for the steps of `reference`: a layer takes three of them, or five.

Importing this needs triton, which comes with torch for CUDA.
"""

from mtchat.inference.cuda.kernels.attention import attend, attend_prefill
from mtchat.inference.cuda.kernels.launch import embed
from mtchat.inference.cuda.kernels.linear import linear
from mtchat.inference.cuda.kernels.sampling import sample

__all__ = ["attend", "attend_prefill", "embed", "linear", "sample"]
