"""The caching-allocator model, memory snapshots and their analysis; no torch."""
