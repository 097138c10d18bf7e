"""The report: candidates side by side on one self-contained HTML page.

`page` builds all that the page shows as one typed structure, and page.html.j2, page.css and page.js beside it lay it out.
"""
