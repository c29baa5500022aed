"""Forks the given number of children, half of them into sessions of their own, answers and leaves them behind."""

import os
import sys
import time

for number in range(int(sys.argv[1])):
    if os.fork() == 0:
        if number % 2:
            os.setsid()
        time.sleep(60)
        os._exit(0)
os.write(int(os.environ["ILORA_DIAG_RESULT_FD"]), b'{"bred": true}')
os._exit(0)
