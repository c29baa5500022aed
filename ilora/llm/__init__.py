"""The frozen language model: random weights by architecture, or real ones from a folder, a .gguf file or the hub."""

from __future__ import annotations

from ilora.llm.errors import LlmError
from ilora.llm.load import LoadedLlm, load_llm
from ilora.llm.random_weights import build_random
from ilora.llm.targets import resolve_target_modules

__all__ = ["LlmError", "LoadedLlm", "build_random", "load_llm", "resolve_target_modules"]
