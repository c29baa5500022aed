"""Prints 10 MB on both streams, each with its own first and last words, and answers in between."""

import os
import sys
import threading


def talk(descriptor: int, name: bytes) -> None:
    line = name * 63 + b"\n"
    os.write(descriptor, b"first of " + name + b"\n")
    for _ in range(10_000_000 // (len(line) * 256)):
        view = memoryview(line * 256)
        while view:
            view = view[os.write(descriptor, view) :]
    os.write(descriptor, b"last of " + name + b"\n")


threads = [threading.Thread(target=talk, args=(1, b"o")), threading.Thread(target=talk, args=(2, b"e"))]
for thread in threads:
    thread.start()
os.write(int(os.environ["ILORA_DIAG_RESULT_FD"]), b'{"ok": true}')
for thread in threads:
    thread.join()
sys.exit(0)
