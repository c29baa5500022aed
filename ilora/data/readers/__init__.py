"""One module per source; each reads its files and says what it could not use."""
