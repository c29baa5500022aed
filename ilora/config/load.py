"""Presets, files and `key=value` overrides become one validated `Config`.

Order, later wins: defaults of the tree, the preset (`teacher` unless told otherwise), the settings that
`compat=reference` implies, the file, the overrides. `llm=NAME` replaces the whole `llm` group by a preset of
`ilora/conf/llm`, so that no path of another model stays behind; `llm.KEY=VALUE` then changes single values.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ilora.config.errors import ConfigError
from ilora.config.tree import Config, LlmConfig
from ilora.config.validate import describe, field_of, validate

CONF_DIR = Path(__file__).resolve().parents[1] / "conf"

# What the release does differently, as settings; the rest of compat=reference lives where the behaviour is.
REFERENCE_SETTINGS = {
    "lora.gate_norm": "batch",
    "rec.train_mode": True,
    "train.optimizer": "adam",
    "train.max_grad_norm": 0.0,
}

# Both spellings choose a preset: the short one is typed, the long one stands in written configurations.
_LLM_CHOICE = ("llm", "llm.preset")

# The preset of a model that `llm.path` or `llm.name` alone describes: its architecture is read from its files.
OWN_MODEL = "own"

Leaf = tuple[str, Any]


def preset_names() -> tuple[str, ...]:
    """Names that `--config` accepts beside files."""
    return tuple(sorted(path.stem for path in CONF_DIR.glob("*.yaml")))


def llm_preset_names() -> tuple[str, ...]:
    """Names that `llm=NAME` accepts."""
    return tuple(sorted(path.stem for path in (CONF_DIR / "llm").glob("*.yaml")))


def load_config(overrides: Sequence[str] = (), *, file: str | Path | None = None, preset: str = "teacher") -> Config:
    """Read a configuration and check it.

    Args:
        overrides: `key=value` texts; values are YAML.
        file: a YAML file, or the name of a preset that takes the place of `preset`.
        preset: the preset under the file.

    Raises:
        ConfigError: unknown key, wrong type, value out of range, impossible combination.
    """
    if file is not None and not Path(file).exists() and str(file) in preset_names():
        preset, file = str(file), None
    layers = [
        _read_yaml(CONF_DIR / f"{preset}.yaml"),
        _read_yaml(Path(file)) if file is not None else [],
        [_split_override(text) for text in overrides],
    ]
    if dict(leaf for layer in layers for leaf in layer).get("compat") == "reference":
        layers.insert(1, list(REFERENCE_SETTINGS.items()))
    tree = OmegaConf.structured(Config)
    for layer in layers:
        _apply(tree, layer)
    config = cast(Config, OmegaConf.to_object(tree))
    validate(config)
    return config


def dump_config(config: Config) -> str:
    """The configuration as YAML that `load_config(file=...)` reads back to an equal one."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _apply(tree: DictConfig, layer: Sequence[Leaf]) -> None:
    """Set one layer's leaves; a language model it chooses comes first, whatever the order they were typed in.

    A path or hub name without a preset chooses a model too: nothing of an earlier layer's model stays behind.
    """
    given = dict(layer)
    if not given.keys() & set(_LLM_CHOICE) and (given.get("llm.path") or given.get("llm.name")):
        _set_llm_preset(tree, OWN_MODEL)
    for key, value in layer:
        if key in _LLM_CHOICE:
            _set_llm_preset(tree, value)
    for key, value in layer:
        if key not in _LLM_CHOICE:
            _set(tree, key, value)


def _set_llm_preset(tree: DictConfig, name: object) -> None:
    if name == OWN_MODEL:
        tree.llm = OmegaConf.structured(LlmConfig(preset=OWN_MODEL))
        return
    if name not in llm_preset_names():
        close = difflib.get_close_matches(str(name), llm_preset_names(), n=1, cutoff=0.4)
        hint = f"Did you mean llm={close[0]}?" if close else "Real weights: llm.path=DIR|FILE.gguf or llm.name=HUB_ID"
        raise ConfigError("llm", name, "one of " + ", ".join(llm_preset_names()), hint)
    tree.llm = OmegaConf.structured(LlmConfig)
    for key, value in _read_yaml(CONF_DIR / "llm" / f"{name}.yaml"):
        _set(tree, f"llm.{key}", value)


def _set(tree: DictConfig, key: str, value: Any) -> None:
    if not key.startswith("llm.arch."):
        field_of(key)  # refuses unknown keys with a suggestion
    try:
        OmegaConf.update(tree, key, value, force_add=key.startswith("llm.arch."))
    except OmegaConfBaseException as error:
        raise ConfigError(key, value, describe(key)) from error


def _split_override(text: str) -> Leaf:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(text, "", "key=value", "For example: train.batch_size=2 llm=opt-125m", typed=text)
    try:
        parsed = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={value}"]))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(key, value, f"a YAML value: {describe(key)}") from error
    return key.strip(), cast(dict[str, Any], parsed)["value"]


def _read_yaml(path: Path) -> list[Leaf]:
    if not path.is_file():
        raise ConfigError("--config", path, f"a YAML file, or one of {', '.join(preset_names())}", "No such file.")
    try:
        content = OmegaConf.to_container(OmegaConf.load(path))
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise ConfigError("--config", path, "a readable YAML file", str(error).replace("\n", " ")) from error
    if not isinstance(content, Mapping):
        raise ConfigError("--config", path, "a YAML mapping of keys to values")
    return list(_leaves(cast(Mapping[str, Any], content)))


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[Leaf]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and key in _GROUPS:
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


_GROUPS = frozenset(f.name for f in fields(Config) if f.default_factory is not None and is_dataclass(f.default_factory))
