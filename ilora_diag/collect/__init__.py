"""Facts of a machine, without torch and without a CUDA context: live, or from what somebody captured or pasted."""
