"""`scripts/economy`: what a sync client has to upload for a change."""
