pub mod tpm;
