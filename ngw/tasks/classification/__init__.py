"""Zero-shot classification of images by classes' prompts, and a linear probe beside it.

PROTOCOL: a class is the normalised mean of its embedded prompts; the text encoder sees prompts, never labels.
"""

VERSION = 1  # of the task; it stands in every record
