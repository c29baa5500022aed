"""Single operators that other people measured on a card, written again as plain PyTorch, to compare byte by byte."""
