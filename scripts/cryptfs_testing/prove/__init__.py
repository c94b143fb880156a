"""`scripts/prove`: real work in a real mount, one function a step."""
