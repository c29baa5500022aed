"""Two loops over one job: `plain` for reading and for one device, `lightning` for everything beyond."""
