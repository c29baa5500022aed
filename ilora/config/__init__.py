"""The typed configuration and its presets; importable without torch."""

from ilora.config.errors import ConfigError
from ilora.config.tree import Config, DataConfig, EvalConfig, LlmConfig, LoraConfig, ModelConfig, RecConfig, TrainConfig

__all__ = [
    "Config", "ConfigError", "DataConfig", "EvalConfig", "LlmConfig", "LoraConfig", "ModelConfig", "RecConfig", "TrainConfig",
]  # fmt: skip
