"""Answers what kind of process it is."""

import json
import os
import sys
from pathlib import Path

about = {
    "leads_session": os.getsid(0) == os.getpid(),
    "leads_group": os.getpgid(0) == os.getpid(),
    "stdin": os.read(0, 1).decode(),
    "cwd": os.getcwd(),
    "fds": sorted(int(name) for name in os.listdir("/proc/self/fd")),
    "mark": os.environ["ILORA_DIAG_CHILD"],
    "marked": os.environ["ILORA_DIAG_CHILD"].encode() in Path("/proc/self/environ").read_bytes(),
    "answer": int(os.environ["ILORA_DIAG_RESULT_FD"]),
}
os.write(about["answer"], json.dumps(about).encode())
print("on stdout")
sys.stderr.write("on stderr")
