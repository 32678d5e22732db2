//! The differences that are meant, each with its reason.
//!
//! Invariants
//! - An entry excuses what it names and nothing else; one that excuses nothing fails the run.

use crate::compare::Difference;
use crate::report::Outcome;

struct Intended {
    /// The scenario's name; empty for all.
    scenario: &'static str,
    /// A part of the step's label; empty for all.
    step: &'static str,
    /// A part of the field's path; empty for all.
    part: &'static str,
    /// The end of the field's path; empty for all.
    path: &'static str,
    /// What Highwater answers; empty for anything.
    ours: &'static str,
    /// What Apache Kafka answers; empty for anything.
    theirs: &'static str,
    /// Why that is meant.
    reason: &'static str,
}

const INTENDED: &[Intended] = &[
    Intended {
        path: "error_message",
        ours: "a text",
        theirs: "None",
        reason: "a refusal says why, also where Kafka is silent",
        ..ANY
    },
    Intended {
        step: "null records",
        reason: "records that are null are refused (INVALID_RECORD); Kafka fails inside and never answers",
        ..ANY
    },
    Intended {
        scenario: "alter configs",
        step: "retention.ms 9",
        theirs: "-1",
        reason: "an unknown operation is INVALID_REQUEST; Kafka fails inside (UNKNOWN_SERVER_ERROR)",
        ..ANY
    },
    Intended {
        path: "configs.[min.insync.replicas].config_source",
        reason: "Kafka 4 sets it for the cluster, for replicas that are not here",
        ..ANY
    },
    Intended {
        part: "[min.insync.replicas].synonyms",
        reason: "Kafka 4 sets it for the cluster, for replicas that are not here",
        ..ANY
    },
    Intended {
        scenario: "create topics",
        step: "CreateTopics v7",
        path: "topic_id",
        reason: "a topic that is only validated has no id; Kafka draws one",
        ..ANY
    },
    Intended {
        scenario: "idempotent produce",
        path: "log_start_offset",
        ours: "-1",
        reason: "a refused batch says nothing of the log",
        ..ANY
    },
    Intended {
        scenario: "fetch",
        step: "of the partition",
        part: ".records.",
        reason: "whole batches only; Kafka cuts the last one off at the limit",
        ..ANY
    },
    Intended {
        scenario: "fetch",
        step: "in all",
        part: ".records.",
        reason: "whole batches only; Kafka cuts the last one off at the limit",
        ..ANY
    },
    Intended {
        scenario: "parked fetches",
        step: "the topic goes",
        path: "aborted_transactions",
        ours: "[]",
        theirs: "None",
        reason: "a list of no transactions is empty; Kafka's is null where a fetch has waited",
        ..ANY
    },
    Intended {
        scenario: "parked fetches",
        step: "the topic goes",
        path: "error_code",
        ours: "100",
        theirs: "3",
        reason: "an id without a topic is UNKNOWN_TOPIC_ID, also where a fetch has waited",
        ..ANY
    },
    Intended {
        scenario: "topic configs",
        part: "[flush.ms].synonyms",
        reason: "the window that a power cut may take of a page-cache topic is bounded",
        ..ANY
    },
    Intended {
        scenario: "static members",
        path: "client_id",
        reason: "the client that is there now is shown; Kafka shows the one that it has replaced",
        ..ANY
    },
    Intended {
        scenario: "group of three",
        step: "without the leader (DescribeGroups",
        path: "member_assignment",
        reason: "an assignment ends with its generation; Kafka shows it until there is a new one",
        ..ANY
    },
    Intended {
        part: "configs.[allow.history.loss]",
        reason: "a config of Highwater",
        ..ANY
    },
    Intended {
        part: "configs.[append.conditional]",
        reason: "a config of Highwater",
        ..ANY
    },
    Intended {
        part: "configs.[corrupt.read]",
        reason: "a config of Highwater",
        ..ANY
    },
    Intended {
        part: "configs.[durability]",
        reason: "a config of Highwater",
        ..ANY
    },
    Intended {
        part: "configs.[flush.bytes]",
        reason: "a config of Highwater",
        ..ANY
    },
    Intended {
        part: "configs.[on.full]",
        reason: "a config of Highwater",
        ..ANY
    },
    Intended {
        part: "[index.interval.bytes]",
        ours: "\"32768\"",
        reason: "an eighth of the index",
        ..ANY
    },
    Intended {
        part: "[flush.ms]",
        ours: "\"100\"",
        reason: "the window that a power cut may take of a page-cache topic is bounded",
        ..ANY
    },
];

const ANY: Intended = Intended {
    scenario: "",
    step: "",
    part: "",
    path: "",
    ours: "",
    theirs: "",
    reason: "",
};

impl Intended {
    fn excuses(&self, scenario: &str, difference: &Difference) -> bool {
        (self.scenario.is_empty() || self.scenario == scenario)
            && difference.step.contains(self.step)
            && difference.path.contains(self.part)
            && difference.path.ends_with(self.path)
            && (self.ours.is_empty() || self.ours == difference.ours)
            && (self.theirs.is_empty() || self.theirs == difference.theirs)
    }
}

/// Why a difference is meant, if it is.
pub(crate) fn reason(scenario: &str, difference: &Difference) -> Option<&'static str> {
    let found = INTENDED
        .iter()
        .find(|entry| entry.excuses(scenario, difference));
    found.map(|entry| entry.reason)
}

/// Entries that excuse nothing.
pub(crate) fn stale(outcomes: &[Outcome]) -> Vec<&'static str> {
    let is_met = |entry: &&Intended| {
        outcomes.iter().any(|outcome| {
            let mut all = outcome.differences.iter();
            all.any(|difference| entry.excuses(outcome.scenario, difference))
        })
    };
    let stale = INTENDED.iter().filter(|entry| !is_met(entry));
    stale.map(|entry| entry.reason).collect()
}
