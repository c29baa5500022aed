"""An investigation from the outside: factors of a configuration or a script, trials in processes, the record."""
