"""`scripts/soak`: processes at work in one mount, each against its model."""
