//! Decides when a run happens and carries it out.
