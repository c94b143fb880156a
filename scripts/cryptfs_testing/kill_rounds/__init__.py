"""`scripts/kill-rounds`: nothing acknowledged is lost when the daemon is killed."""
