"""Small programs that ask one question of the machine, each run in a process of its own."""
