"""The iLoRA stack: recommenders, MoE-LoRA, the teacher model and its training loops. Knows nothing of the diagnostics."""
