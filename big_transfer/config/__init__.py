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
from big_transfer.config.earlier import current_argument
from big_transfer.config.schema import Config, EvaluationConfig, TrainingConfig
from big_transfer.config.writing import (
    clear,
    debug,
    default_config,
    parse_argument,
    replace_alternatives,
    split_cleared,
)

__all__ = [
    "AnyConfig",
    "Config",
    "ConfigError",
    "EvaluationConfig",
    "TrainingConfig",
    "all_fields",
    "check",
    "clear",
    "completed",
    "current_argument",
    "debug",
    "default_config",
    "defaults",
    "explain_unknown",
    "parse_argument",
    "replace_alternatives",
    "split_cleared",
]
