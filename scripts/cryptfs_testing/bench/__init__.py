"""`scripts/bench`: what cryptfs does in a second, beside its peers."""
