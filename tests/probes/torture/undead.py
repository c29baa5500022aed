"""Cannot be reaped after its death, as a process stuck in a driver call cannot: a stranger traces it and never waits.

Writes the stranger's process id into the given file; exits with 77 where tracing is not permitted.
"""

import ctypes
import os
import sys
import time

PR_SET_PTRACER, PTRACE_SEIZE = 0x59616D61, 0x4206
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.prctl(PR_SET_PTRACER, ctypes.c_ulong(-1 & (2**64 - 1)), 0, 0, 0)
TRACER = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
told = libc.ptrace(0x4206, int(sys.argv[1]), None, None) == 0
os.write(int(sys.argv[2]), b"1" if told else b"0")
for descriptor in range(64):
    try:
        os.close(descriptor)
    except OSError:
        pass
time.sleep(60)
"""
ready_end, told_end = os.pipe()
os.set_inheritable(told_end, True)
leader = os.getpid()
stranger = os.fork()
if stranger == 0:
    os.setsid()
    os.execve(sys.executable, [sys.executable, "-S", "-c", TRACER, str(leader), str(told_end)], {})
if os.read(ready_end, 1) != b"1":
    sys.exit(77)
with open(sys.argv[1] + ".part", "w") as file:
    file.write(str(stranger))
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(60)
