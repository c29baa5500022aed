"""From outcomes of trials to a proven cause: factors, search, certificate. Pure: no trial is run here, no file read."""
