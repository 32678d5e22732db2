//! Requests of a session without a connection, on their way to its lane.
//!
//! Floor 2 of broker.

use tokio::sync::mpsc;

/// Passes on what comes until the broker is closing, or nobody can ask any more. What was handed
/// over before the end is executed, what comes after it is refused.
pub(crate) async fn hand_over<T>(
    closing: impl Future<Output = ()>,
    mut jobs: mpsc::Receiver<T>,
    forward: mpsc::Sender<T>,
) {
    let mut closing = std::pin::pin!(closing);
    loop {
        tokio::select! {
            biased;
            () = &mut closing => break,
            job = jobs.recv() => match job {
                Some(job) => drop(forward.send(job).await),
                None => break,
            },
        }
    }
    jobs.close();
    while let Some(job) = jobs.recv().await {
        drop(forward.send(job).await);
    }
}
