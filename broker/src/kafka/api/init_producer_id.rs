//! InitProducerId (key 22), v0 to v5.
//!
//! Floor 5 of broker.
//!
//! - Without a transactional id: always a fresh id with epoch 0.
//! - With one: error 35, since there are no transactions here yet.

use highwater_proto::kafka::messages::init_producer_id::{
    InitProducerIdRequest, InitProducerIdResponse,
};

use super::Call;
use crate::kafka::errors::WireError;
use crate::service::producer_ids::InitProducerId;

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let given = call.service.init_producer_id(InitProducerId {
        transactional_id: request.transactional_id.map(String::from),
        producer_id: request.producer_id,
        epoch: request.producer_epoch,
    });
    match given.await {
        Ok(producer) => InitProducerIdResponse {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            ..InitProducerIdResponse::default()
        },
        Err(error) => InitProducerIdResponse {
            error_code: error.error_code().code(),
            producer_epoch: NO_EPOCH,
            ..InitProducerIdResponse::default()
        },
    }
}

const NO_EPOCH: i16 = -1;
