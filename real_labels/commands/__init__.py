"""The commands of `python -m real_labels`, one file per command.

Each command has a SUMMARY, an EXAMPLE of its arguments, add_arguments(parser) and run(options).
"""
