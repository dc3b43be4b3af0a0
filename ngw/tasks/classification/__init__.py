"""Zero-shot classification of images by their classes' prompts, and a linear probe to compare with.

PROTOCOL: a class is the normalised mean of its embedded prompts; the text encoder sees prompts, never labels.
"""

VERSION = 1  # of the task, in every record
