"""Everything that touches a file: paths, archives, tables, tables for a terminal."""

from real_labels.files.paths import distinct_keys, readable, replacing, write_json

__all__ = ["distinct_keys", "readable", "replacing", "write_json"]
