//! Secrets, and memory that forgets.
