"""Small trained models as GGUF files, one for each architecture, and what llama.cpp writes with them."""
