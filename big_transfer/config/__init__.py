"""Configs: what they may hold, and what a dataset and the HyperRule fill in."""

from big_transfer.config.schema import (
    BEST_METRICS,
    SCHEMA,
    ConfigError,
    Field,
    complete,
    explain_unknown,
    resolve,
)

__all__ = [
    "BEST_METRICS",
    "SCHEMA",
    "ConfigError",
    "Field",
    "complete",
    "explain_unknown",
    "resolve",
]
