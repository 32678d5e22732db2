//! Sessions with the model of a cluster, for clients of their own.

use std::sync::{Arc, Mutex};

use highwater_client::{ClientError, Dial};
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::{ApiKey, Request, Response};
use tokio::sync::oneshot;

use crate::model::{Model, execute};

/// Opens sessions with the model.
#[derive(Debug)]
pub(crate) struct ModelDial {
    model: Arc<Model>,
    number: usize,
}

impl ModelDial {
    pub(crate) fn new(model: &Arc<Model>, number: usize) -> Self {
        let model = Arc::clone(model);
        Self { model, number }
    }
}

impl Dial for ModelDial {
    fn dial(&self, address: &str) -> BoxFuture<'static, Result<Arc<dyn Exchange>, ClientError>> {
        let node = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        let session = Session {
            model: Arc::clone(&self.model),
            number: self.number,
            node: node.expect("the address of a broker of the model"),
            last: Mutex::new(oneshot::channel().1),
        };
        Box::pin(async move { Ok(Arc::new(session) as Arc<dyn Exchange>) })
    }
}

/// One session of a client with one broker: each request is executed when the one before it is
/// answered.
#[derive(Debug)]
struct Session {
    model: Arc<Model>,
    number: usize,
    node: i32,
    /// Ends with the answer to the last request.
    last: Mutex<oneshot::Receiver<()>>,
}

impl Exchange for Session {
    fn versions(&self, _: ApiKey) -> Option<(i16, i16)> {
        Some((0, 9))
    }

    fn send(
        &self,
        _: i16,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
        let (model, number, node) = (Arc::clone(&self.model), self.number, self.node);
        let (end, ended) = oneshot::channel();
        let before = std::mem::replace(&mut *self.last.lock().unwrap(), ended);
        let (send, answer) = oneshot::channel();
        tokio::spawn(async move {
            let _end: oneshot::Sender<()> = end;
            // An error is the end, too.
            let _ = before.await;
            if model.is_dead(number) {
                return;
            }
            let answer = execute(&model, node, request).await;
            if !model.is_dead(number) {
                // Whoever asked may have given up.
                let _ = send.send(answer);
            }
        });
        Box::pin(async move {
            match answer.await {
                Ok(answer) => answer,
                // Nothing is heard any more.
                Err(_) => std::future::pending().await,
            }
        })
    }
}
