//! Listening: sockets are bound, and each connection is handed to a task.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Port 0 of an advertised address stands for the real one.

use std::sync::Arc;

use super::address::KafkaListener;
use super::conn::{self, Door};
use super::server::Server;
use crate::connections::{Accepted, accept};
use crate::error::BrokerError;
use crate::sockets::{self, Address};

/// Binds a listener and accepts from now on; gives the address at which clients reach it.
pub(super) fn open(server: &Arc<Server>, listener: &KafkaListener) -> Result<Address, BrokerError> {
    // Sockets belong to the broker's runtime, whatever the caller runs on.
    let _entered = server.workers.runtime().enter();
    let (sockets, local) = sockets::listen(&listener.bind)?;
    for socket in sockets {
        let advertise = listener.advertise.clone();
        let door = Door {
            advertise: advertise.map(|address| with_port(address, local.port())),
            protocol: listener.protocol,
        };
        let of_each = Arc::clone(server);
        let accept = accept(&server.connections, socket, move |accepted| {
            of_each.accepted(&door, accepted);
        });
        server.workers.spawn(accept);
    }
    Ok(match listener.advertise.clone() {
        Some(address) => with_port(address, local.port()),
        None => Address::from(sockets::reachable(local)),
    })
}

fn with_port(address: Address, port: u16) -> Address {
    if address.port == 0 {
        Address { port, ..address }
    } else {
        address
    }
}

impl Server {
    fn accepted(self: &Arc<Self>, door: &Door, accepted: Accepted) {
        let metrics = self.service.metrics();
        match accepted {
            Accepted::Admitted(stream, peer, admission) => {
                metrics.connections.increment();
                let server = Arc::clone(self);
                self.workers
                    .spawn(conn::serve(server, stream, peer, door.clone(), admission));
            }
            Accepted::Refused => metrics.refused_connections.increment(),
        }
    }
}
