"""How matrix products are made fast on a CPU; knows no network."""
