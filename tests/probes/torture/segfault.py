"""Dies as a broken extension does."""

import ctypes
import sys

print("about to die", flush=True)
print("on stderr", file=sys.stderr, flush=True)
ctypes.string_at(0)
