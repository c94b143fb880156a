"""The programs of `scripts/` that exercise, measure and attack mounted volumes; each entry point calls one `main`."""
