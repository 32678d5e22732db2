//! Topics that a consumer subscribes to by a pattern: which there are, looked for again and again.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - A pattern is that of a whole name.
//! - At most one look is under way; what an older pattern found is not taken.

use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Mono;
use regex_lite::Regex;

use crate::backoff::Question;
use crate::cluster::Cluster;
use crate::config::ConsumerConfig;
use crate::error::ClientError;

/// The topics of a pattern, as a subscription.
#[derive(Debug)]
pub(super) struct Pattern {
    number: u64,
    regex: Arc<Regex>,
    question: Question,
    looks_at: Mono,
}

/// What one look found.
#[derive(Debug)]
pub(in crate::consumer) struct Found {
    number: u64,
    pub(super) topics: Result<Vec<String>, ClientError>,
}

impl Pattern {
    /// A pattern; `number` tells it from an older one.
    ///
    /// # Errors
    /// `Invalid` if it is none.
    pub(super) fn new(pattern: &str, number: u64) -> Result<Self, ClientError> {
        let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
            ClientError::Invalid(format!("{pattern:?} is no pattern of topics: {error}"))
        })?;
        Ok(Self {
            number,
            regex: Arc::new(regex),
            question: Question::default(),
            looks_at: Mono(0),
        })
    }

    /// A look, if it is time for one; else when.
    pub(super) fn look(
        &mut self,
        now: Mono,
        cluster: &Arc<Cluster>,
        config: &ConsumerConfig,
    ) -> Result<impl Future<Output = Found> + Send + 'static, Mono> {
        if self.looks_at > now {
            return Err(self.looks_at);
        }
        self.question
            .ask(now)
            .map_err(|later| later.unwrap_or(Mono::NEVER))?;
        let (cluster, regex) = (Arc::clone(cluster), Arc::clone(&self.regex));
        let (number, is_whole) = (self.number, !config.exclude_internal_topics);
        Ok(async move {
            let response = cluster.metadata(None, false).await;
            let topics = response.map(|response| {
                let topics = response.topics.into_iter();
                let topics = topics.filter(|topic| is_whole || !topic.is_internal);
                let names = topics.filter_map(|topic| topic.name).map(String::from);
                let mut names: Vec<String> = names.filter(|name| regex.is_match(name)).collect();
                names.sort();
                names
            });
            Found { number, topics }
        })
    }

    /// Takes note of a look; whether it was one for this pattern.
    pub(super) fn looked(&mut self, found: &Found, now: Mono, config: &ConsumerConfig) -> bool {
        if found.number != self.number {
            return false;
        }
        let first = Duration::from_millis(config.retry_backoff_ms);
        self.question.answered(now, first, found.topics.is_ok());
        if found.topics.is_ok() {
            self.looks_at = now.plus(Duration::from_millis(config.metadata_max_age_ms));
        }
        true
    }
}
