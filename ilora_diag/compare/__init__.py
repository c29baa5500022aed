"""Two records of runs side by side. Pure: no file is read here."""
