"""The rating site: pages for raters and the administrator (Starlette)."""
