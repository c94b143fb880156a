"""Check, repair, import and export, without a mount."""
