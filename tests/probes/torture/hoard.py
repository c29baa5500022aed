"""Takes host memory, and uses it, until it gets no more."""

kept = []
while True:
    kept.append(bytearray(b"x" * (8 << 20)))
