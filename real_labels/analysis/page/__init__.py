"""What the report is made of: sections, figures, thumbnails, and the page that holds them."""
