"""Writes a valid document of the given number of MiB; says on stdout when all of it was taken."""

import os
import sys

with os.fdopen(int(os.environ["ILORA_DIAG_RESULT_FD"]), "wb") as answer:
    answer.write(b'{"x": "')
    for _ in range(int(sys.argv[1])):
        answer.write(b"y" * (1 << 20))
    answer.write(b'"}')
print("taken", flush=True)
