//! The relay's health and metrics over HTTP.
//!
//! Floor 6 of cli.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use highwater_broker::Address;
use highwater_client::RelayMetrics;
use tokio::net::TcpListener;

use super::exposition;
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
        let text = exposition::text(&metrics.snapshot());
        std::future::ready(([(CONTENT_TYPE, exposition::CONTENT_TYPE)], text))
    };
    let router = Router::new()
        .route("/health/live", get(|| async { "live\n" }))
        .route("/metrics", get(text));
    if let Err(error) = axum::serve(socket, router).await {
        tracing::warn!(%error, "HTTP is no longer served");
    }
}
