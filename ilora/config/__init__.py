"""The typed configuration and its presets; importable without torch."""

from ilora.config.errors import ConfigError
from ilora.config.flat import flat_settings
from ilora.config.load import dump_config, llm_preset_names, load_config, preset_names
from ilora.config.tree import Config, DataConfig, EvalConfig, LlmConfig, LoraConfig, ModelConfig, RecConfig, TrainConfig
from ilora.config.validate import check_catalogue, check_device, validate

__all__ = [
    "Config",
    "ConfigError",
    "DataConfig",
    "EvalConfig",
    "LlmConfig",
    "LoraConfig",
    "ModelConfig",
    "RecConfig",
    "TrainConfig",
    "check_catalogue",
    "check_device",
    "dump_config",
    "flat_settings",
    "llm_preset_names",
    "load_config",
    "preset_names",
    "validate",
]
