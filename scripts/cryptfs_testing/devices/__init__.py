"""`scripts/devices`: two devices at work on one volume through a real sync client."""
