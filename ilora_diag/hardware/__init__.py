"""What is known of cards, versions and kernels: tables and rules with their sources. Standard library only."""
