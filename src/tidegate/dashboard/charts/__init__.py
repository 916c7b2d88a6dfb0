"""Charts of series: what each shows, and its forms: lines of SVG, columns for a script, a table, CSV."""
