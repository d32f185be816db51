//! Fetches Git repositories.
