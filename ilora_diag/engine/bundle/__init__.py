"""An archive of a run for a bug report: chosen by a list, redacted by value and by form, read again, else deleted."""
