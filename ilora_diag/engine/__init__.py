"""Running what may fail, writing down what happened, and reading it back: runner, journal, run log, signatures."""
