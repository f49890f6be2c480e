"""The commands of `python -m real_labels`, one a file.

Each has a SUMMARY, an EXAMPLE of its arguments, add_arguments(parser) and run(options).
"""
