"""`scripts/attack-matrix`: attacks on cryptfs and its peers, and what each mount says afterwards."""
