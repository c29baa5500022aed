"""How much of PyTorch and transformers the virtual device carries."""
