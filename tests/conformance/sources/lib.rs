//! Empty: `Cargo.toml` beside it only names what is fetched.
