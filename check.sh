#!/usr/bin/env bash
# Checks everything that must hold before a commit; writes nothing but the build folder.
#
#   ./check.sh           format, lints, tests, documentation
#   ./check.sh --slow    the same, then loom models, the crash sweep in full, a conversation that is
#                        cut at every byte, the build for other platforms, and a bench smoke run
set -euo pipefail
cd "$(dirname "$0")"

step() { printf '\n\033[1m== %s (%s)\033[0m\n' "$*" "$(date +%T)"; }

step "format"
cargo fmt --all -- --check
step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings
step "tidy"
cargo test --locked --test tidy
step "tests"
cargo test --workspace --locked
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
step "the library is pure Rust"
CC=/bin/false cargo check -p highwater --lib --no-default-features --locked

if [[ "${1:-}" == "--slow" ]]; then
  step "sqlx"
  cargo clippy -p highwater-client --features sqlx --lib --test sqlx --locked -- -D warnings
  cargo test -p highwater-client --features sqlx --test sqlx --locked
  step "loom"
  tests/loom
  step "crash sweep, in full"
  HW_CRASH_FULL=1 cargo test --profile crash -p highwater --test crash --locked -- --nocapture
  step "chaos, every byte"
  HW_CHAOS_FULL=1 cargo test --locked --test chaos -- --nocapture
  step "other platforms"
  for target in aarch64-unknown-linux-gnu aarch64-apple-darwin x86_64-pc-windows-msvc; do
    if [[ -d $(rustc --print target-libdir --target "$target") ]]; then
      # SQLite's source would want a C compiler for each of them, and so would the cryptography of
      # TLS, without which the command line builds as well.
      LIBSQLITE3_SYS_USE_PKG_CONFIG=1 SQLITE3_LIB_DIR=/nowhere \
        cargo check -p highwater --locked --target "$target" --no-default-features --features cli
    else
      echo "SKIPPED: $target is not installed (rustup target add $target)" >&2
    fi
  done
  step "the lock files of the other workspaces"
  for folder in benches/peers tests/fuzz; do
    (cd "$folder" && cargo metadata --locked --format-version 1 > /dev/null)
  done
  step "benches, smoke"
  cargo bench --locked -- --test
fi
step "all checks passed"
