"""What is known about error texts: their signatures, their numbers, and what confirms or refutes each cause."""
