"""The paper's analyses: functions from predictions, labels and answers to numbers.

Each analysis has its own file with `measure` (the numbers, as written to report.json), `draw` (the figure)
and `make` (the section of the report). `report` runs all analyses and writes the report.
"""
