"""`scripts/torture`: whatever was said on a full or failing backing folder is true afterwards."""
