"""The paper's analyses, each a function from predictions, labels and answers to plain numbers.

One file an analysis: `measure` (the numbers, as they stand in report.json), `draw` (its figure) and
`make` (its section of the report). `report` puts them together.
"""
