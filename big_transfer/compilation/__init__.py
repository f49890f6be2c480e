"""Compiling a config for a TPU slice on any machine: memory, time and traffic before a slice is paid for."""

from big_transfer.compilation.planning import plan

__all__ = ["plan"]
