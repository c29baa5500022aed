"""The iLoRA stack: recommenders, MoE-LoRA, the teacher and its training loops. Knows nothing of the diagnostics."""
