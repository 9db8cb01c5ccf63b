"""Models that llama.cpp computes: its C library, the model, and its token sequences."""
