//! ListGroups (key 16), v0 to v5.
//!
//! Floor 5 of broker.
//!
//! - v4 and newer may ask for some states only, v5 for some types; in any case of letters.
//! - Every group here is of the type `classic`.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::list_groups::{
    ListGroupsRequest, ListGroupsResponse, ListedGroup,
};

use super::Call;
use crate::service::groups::GroupListing;

pub(in crate::kafka) fn handle(call: Call<'_>, request: &ListGroupsRequest) -> ListGroupsResponse {
    let groups = if is_let_through(&request.types_filter, CLASSIC) {
        call.service.list_groups()
    } else {
        Vec::new()
    };
    let states = &request.states_filter;
    let listed = groups
        .into_iter()
        .filter(|group| is_let_through(states, group.state.name()));
    ListGroupsResponse {
        groups: listed.map(answer).collect(),
        ..ListGroupsResponse::default()
    }
}

/// Whether a filter, which lets everything through when it is empty, names it.
fn is_let_through(filter: &[Str], name: &str) -> bool {
    filter.is_empty() || filter.iter().any(|one| one.eq_ignore_ascii_case(name))
}

fn answer(group: GroupListing) -> ListedGroup {
    ListedGroup {
        group_id: Str::from(group.group),
        protocol_type: Str::from(group.protocol_type),
        group_state: Str::from_static(group.state.name()),
        group_type: Str::from_static(CLASSIC),
    }
}

const CLASSIC: &str = "classic";
