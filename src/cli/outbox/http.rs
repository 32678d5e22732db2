//! The relay's health and metrics over HTTP.
//!
//! Floor 6 of cli.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use highwater_broker::Address;
use highwater_client::{Exposition, RelayMetrics};
use tokio::net::TcpListener;

use crate::cli::failure::Failure;

/// A socket that is listened on, and where that is.
pub(super) async fn listen(address: &Address) -> Result<(TcpListener, String), Failure> {
    let cannot = |error| Failure::Failed(format!("cannot listen on {address}: {error}"));
    let place = (address.host.as_str(), address.port);
    let socket = TcpListener::bind(place).await.map_err(cannot)?;
    let bound = socket.local_addr().map_err(cannot)?;
    Ok((socket, bound.to_string()))
}

/// Serves until the runtime ends.
pub(super) async fn serve(socket: TcpListener, metrics: RelayMetrics) {
    let text = move || {
        let mut text = Exposition::new();
        text.tell(&[], &metrics.snapshot());
        std::future::ready(([(CONTENT_TYPE, Exposition::CONTENT_TYPE)], text.to_string()))
    };
    let router = Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/metrics", get(text));
    if let Err(error) = axum::serve(socket, router).await {
        tracing::warn!(%error, "HTTP is no longer served");
    }
}
