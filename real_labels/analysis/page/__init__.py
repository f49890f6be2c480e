"""The page of the report: sections, figures, thumbnails, HTML."""
