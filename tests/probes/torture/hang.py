"""Starts a grandchild, writes both process ids into a file, then hangs. Options change who hangs how.

deaf       both ignore SIGTERM
own        the grandchild has a session of its own
polite     on SIGINT: answers and exits with 3
early      closes the result descriptor after answering, then hangs
orphan     answers and exits; the grandchild hangs on, holding every descriptor
detached   as orphan, with a session of its own and without the environment: nothing ties it to us but the descriptors
"""

import os
import signal
import sys
import time

pids, *options = sys.argv[1:]
RESULT = int(os.environ["ILORA_DIAG_RESULT_FD"])


def stop(_signal: int, _frame: object) -> None:
    os.write(RESULT, b'{"saved": true}')
    os._exit(3)


if "deaf" in options:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
ready_end, told_end = os.pipe()
grandchild = os.fork()
if grandchild == 0:
    if "own" in options or "detached" in options:
        os.setsid()
    os.write(told_end, b"!")
    if "detached" in options:
        os.set_inheritable(RESULT, True)
        os.execve(sys.executable, [sys.executable, "-S", "-c", "import time; time.sleep(60)"], {})
    time.sleep(60)
    os._exit(0)
os.read(ready_end, 1)
if "polite" in options:  # before the file that says it may be signalled
    signal.signal(signal.SIGINT, stop)
with open(pids + ".part", "w") as file:
    file.write(f"{os.getpid()} {grandchild}")
os.rename(pids + ".part", pids)
if {"early", "orphan", "detached"} & set(options):
    os.write(RESULT, b'{"ok": true}')
if "early" in options:
    os.close(RESULT)
if "orphan" in options or "detached" in options:
    os._exit(0)
print("hanging", flush=True)
time.sleep(60)
