"""Configs: the schema of the fields, checking a config, and filling open fields from the dataset."""

from big_transfer.config.checking import (
    AnyConfig,
    ConfigError,
    all_fields,
    check,
    completed,
    defaults,
    explain_unknown,
)
from big_transfer.config.earlier import RENAMED
from big_transfer.config.schema import Config, EvaluationConfig, TrainingConfig
from big_transfer.config.writing import (
    debug,
    default_config,
    parse_argument,
    replace_alternatives,
)

__all__ = [
    "RENAMED",
    "AnyConfig",
    "Config",
    "ConfigError",
    "EvaluationConfig",
    "TrainingConfig",
    "all_fields",
    "check",
    "completed",
    "debug",
    "default_config",
    "defaults",
    "explain_unknown",
    "parse_argument",
    "replace_alternatives",
]
