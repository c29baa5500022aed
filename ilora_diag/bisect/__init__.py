"""From outcomes of trials to a proven cause: factors, search, certificate. Pure: nothing here runs a trial or reads a file."""
