"""The paper's analyses, each a function from predictions, labels and answers to plain numbers.

One file an analysis: `measure` (the numbers, as they stand in report.json), `draw` (its figure) and
`section` (what the report says of it). `report` puts them together.
"""
