"""Found beside the script, as Python finds it."""

LABELS = 10
