//! The real `highwater` binary: every command, every exit code, every sentence of bad input.
