"""Writes bytes that are no text on the result descriptor."""

import os

os.write(int(os.environ["ILORA_DIAG_RESULT_FD"]), bytes(range(256)))
