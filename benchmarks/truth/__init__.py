"""What `make gpu-truth` runs: a grid of training configurations and small probes, each in a fresh process."""
