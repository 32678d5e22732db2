//! Which protocol a group follows.
//!
//! Floor 2 of broker.

use crate::group::member::Member;

/// Each member votes for the protocol that it likes best of those that all support. Among equals
/// the one wins that the first member likes better.
pub(super) fn elected<'m>(members: &[&'m Member]) -> Option<&'m str> {
    let candidates = candidates(members);
    let mut votes = vec![0_usize; candidates.len()];
    for member in members {
        let mut names = member.protocols.iter().map(|(name, _)| name.as_str());
        let vote = names.find_map(|name| candidates.iter().position(|c| *c == name));
        if let Some(count) = vote.and_then(|at| votes.get_mut(at)) {
            *count += 1;
        }
    }
    let counted = candidates.into_iter().zip(votes).rev();
    counted
        .max_by_key(|(_, count)| *count)
        .map(|(name, _)| name)
}

/// The protocols that every member supports, as the first member likes them.
fn candidates<'m>(members: &[&'m Member]) -> Vec<&'m str> {
    let Some((first, others)) = members.split_first() else {
        return Vec::new();
    };
    let of_all = |name: &&str| others.iter().all(|member| member.supports(name));
    let names = first.protocols.iter().map(|(name, _)| name.as_str());
    names.filter(of_all).collect()
}
