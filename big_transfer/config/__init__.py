"""Configs: what they may hold, and what a dataset and the HyperRule fill in."""

from big_transfer.config.schema import (
    SCHEMA,
    ConfigError,
    Field,
    complete,
    defaults,
    explain_unknown,
    resolve,
)

__all__ = ["SCHEMA", "ConfigError", "Field", "complete", "defaults", "explain_unknown", "resolve"]
