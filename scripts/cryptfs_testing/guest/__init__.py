"""`scripts/guest`: a booted Debian with a TPM."""
