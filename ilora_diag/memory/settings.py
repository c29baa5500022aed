"""Settings of the caching allocator, and how they are read from the environment."""

from __future__ import annotations

from ilora_diag.memory.settings_parser import CUDA_VARIABLE, GENERIC_VARIABLE, parse_allocator_settings
from ilora_diag.memory.settings_records import LARGE_SEGMENT_BYTES, AllocatorSettings, IgnoredSetting, SettingsError

__all__ = [
    "CUDA_VARIABLE",
    "GENERIC_VARIABLE",
    "LARGE_SEGMENT_BYTES",
    "AllocatorSettings",
    "IgnoredSetting",
    "SettingsError",
    "parse_allocator_settings",
]
