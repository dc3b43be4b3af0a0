"""The tables, a file each: records and predictions of the runs in, the texts of csv, Markdown and TeX out."""
