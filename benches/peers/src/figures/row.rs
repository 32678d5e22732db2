//! A line of the table.

use super::median;
use crate::meter::Pass;

/// Highwater beside one peer.
pub(crate) struct Row {
    group: &'static str,
    what: String,
    unit: Unit,
    /// Highwater's and the peer's, where anything is stored.
    classes: Option<(Class, Class)>,
    peer: String,
    value: Pair,
    server: Option<Pair>,
    client: Option<Pair>,
    /// How many cores the client's process kept busy over Highwater.
    client_cores: Option<f64>,
    target: Target,
}

/// Medians.
#[derive(Clone, Copy)]
struct Pair {
    ours: f64,
    theirs: f64,
    /// Of the ratios, turn by turn.
    ratio: f64,
}

/// What an acknowledgement survives, the weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Nothing: it may come from the memory of the process.
    Lazy,
    /// The end of the process: it is in the page cache.
    Cached,
    /// A power cut: it is synced.
    Synced,
}

/// How a value is printed.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Records a second.
    Records,
    /// Bytes of values a second.
    Bytes,
    /// Seconds.
    Time,
    /// Bytes.
    Size,
}

/// What a ratio, Highwater's value by its peer's, must be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Reached from this ratio on.
    AtLeast(f64),
    /// Reached up to this ratio.
    AtMost(f64),
    /// From this ratio on; or the client is the limit, and the CPU time of the servers has at most
    /// that ratio.
    OrClientBound { rate: f64, server_cpu: f64 },
    /// None is set: it is said who is ahead.
    MoreIsBetter,
    /// None is set: it is said who is ahead.
    LessIsBetter,
}

impl Row {
    pub(crate) fn of_passes(
        (group, what, unit): (&'static str, &str, Unit),
        classes: (Class, Class),
        (peer, target): (&str, Target),
        (ours, theirs): (&[Pass], &[Pass]),
    ) -> Self {
        let rate = |pass: &Pass| {
            let done = match unit {
                Unit::Bytes => pass.bytes,
                _ => pass.records,
            };
            Some(done as f64 / pass.seconds)
        };
        let a_mib = |cpu: f64, pass: &Pass| cpu * 1e3 / (pass.bytes as f64 / MIB);
        let server = |pass: &Pass| pass.server_cpu.map(|cpu| a_mib(cpu, pass));
        let client = |pass: &Pass| Some(a_mib(pass.client_cpu, pass));
        let cores = ours.iter().map(|pass| pass.client_cpu / pass.seconds);
        Self {
            group,
            what: what.to_owned(),
            unit,
            classes: Some(classes),
            peer: peer.to_owned(),
            value: Pair::of(ours, theirs, rate).unwrap_or(Pair::NOTHING),
            server: Pair::of(ours, theirs, server),
            client: Pair::of(ours, theirs, client),
            client_cores: Some(median(cores)),
            target,
        }
    }

    pub(crate) fn of_values(
        (group, what, unit): (&'static str, &str, Unit),
        (peer, target): (&str, Target),
        (ours, theirs): (&[f64], &[f64]),
    ) -> Self {
        let value = Pair::of(ours, theirs, |value| Some(*value));
        Self {
            group,
            what: what.to_owned(),
            unit,
            classes: None,
            peer: peer.to_owned(),
            value: value.unwrap_or(Pair::NOTHING),
            server: None,
            client: None,
            client_cores: None,
            target,
        }
    }

    /// Whether both sides have a value.
    pub(crate) fn is_whole(&self) -> bool {
        self.value.ratio.is_finite()
    }

    /// For the table.
    pub(crate) fn line(&self) -> String {
        let Self {
            group, what, unit, ..
        } = self;
        let Pair {
            ours,
            theirs,
            ratio,
        } = self.value;
        let peer = format!("{} {}", unit.show(theirs), self.peer);
        let (class, ours) = (self.class(), unit.show(ours));
        let (target, verdict) = (self.target.show(), self.verdict());
        let head = format!("{group:8} {class:5} {what:46} {ours:>11}  {peer:36} {ratio:>7.2}");
        let mut line = format!("{head} {target:>8} {verdict:17}");
        for (name, cpu) in [("server", self.server), ("client", self.client)] {
            if let Some(cpu) = cpu {
                let Pair { ours, theirs, .. } = cpu;
                let ratio = cpu.shown_ratio(2).unwrap_or_else(|| "-".to_owned());
                line += &format!(" {name} {ours:.2} / {theirs:.2} = {ratio} ");
            }
        }
        line.trim_end().to_owned()
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> String {
        let Self {
            group, what, peer, ..
        } = self;
        let (class, unit, target) = (self.class(), self.unit.name(), self.target.show());
        let mut line = format!(
            r#"{{"group":"{group}","class":"{class}","what":"{what}","peer":"{peer}","unit":"{unit}""#
        );
        let pairs = [
            ("value_", Some(self.value)),
            ("server_cpu_ms_a_mib_", self.server),
            ("client_cpu_ms_a_mib_", self.client),
        ];
        for (name, pair) in pairs {
            if let Some(pair) = pair {
                let Pair { ours, theirs, .. } = pair;
                let ratio = pair.shown_ratio(4).unwrap_or_else(|| "null".to_owned());
                line += &format!(
                    r#","{name}highwater":{ours:e},"{name}peer":{theirs:e},"{name}ratio":{ratio}"#
                );
            }
        }
        if let Some(cores) = self.client_cores {
            line += &format!(r#","client_cores":{cores:.2}"#);
        }
        let verdict = self.verdict();
        line + &format!(r#","target":"{target}","verdict":"{verdict}"}}"#)
    }

    fn class(&self) -> String {
        match self.classes {
            None => "-".to_owned(),
            Some((ours, theirs)) if ours == theirs => ours.number().to_string(),
            Some((ours, theirs)) => format!("{}>{}", ours.number(), theirs.number()),
        }
    }

    fn verdict(&self) -> &'static str {
        let ratio = self.value.ratio;
        let yes_or_no = |is_reached| if is_reached { "yes" } else { "NO" };
        let who = |is_ahead| if is_ahead { "ahead" } else { "BEHIND" };
        match self.target {
            Target::AtLeast(min) => yes_or_no(ratio >= min),
            Target::AtMost(max) => yes_or_no(ratio <= max),
            Target::OrClientBound { rate, server_cpu } => {
                let is_bound = self.client_cores.is_some_and(|it| it >= BOUND_CORES);
                let is_cheap = self.server.is_some_and(|cpu| cpu.ratio <= server_cpu);
                match ratio >= rate {
                    true => "yes",
                    false if is_bound && is_cheap => "yes, client-bound",
                    false => "NO",
                }
            }
            Target::MoreIsBetter => who(ratio >= 1.0),
            Target::LessIsBetter => who(ratio <= 1.0),
        }
    }
}

impl Pair {
    /// Nothing where one side has no such value.
    fn of<T>(ours: &[T], theirs: &[T], value: impl Fn(&T) -> Option<f64>) -> Option<Self> {
        let ours: Vec<f64> = ours.iter().map(&value).collect::<Option<_>>()?;
        let theirs: Vec<f64> = theirs.iter().map(&value).collect::<Option<_>>()?;
        let ratio = |(a, b): (&f64, &f64)| a / b;
        let ratios = ours.iter().zip(&theirs).map(ratio);
        Some(Self {
            ratio: median(ratios),
            ours: median(ours.iter().copied()),
            theirs: median(theirs.iter().copied()),
        })
    }

    /// In a pass shorter than a tick of the CPU's clock there may be nothing to divide by.
    fn shown_ratio(self, digits: usize) -> Option<String> {
        let Self { ratio, .. } = self;
        ratio.is_finite().then(|| format!("{ratio:.digits$}"))
    }

    const NOTHING: Self = Self {
        ours: f64::NAN,
        theirs: f64::NAN,
        ratio: f64::NAN,
    };
}

impl Class {
    /// As tables name it.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Records if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Self::Records if value >= 1e4 => format!("{:.0} k/s", value / 1e3),
            Self::Records => format!("{value:.0} /s"),
            Self::Bytes => format!("{:.1} MB/s", value / 1e6),
            Self::Time if value >= 1.0 => format!("{value:.2} s"),
            Self::Time if value < 1e-3 => format!("{:.1} us", value * 1e6),
            Self::Time => format!("{:.2} ms", value * 1e3),
            Self::Size => format!("{:.1} MiB", value / MIB),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Records => "1/s",
            Self::Bytes => "B/s",
            Self::Time => "s",
            Self::Size => "B",
        }
    }
}

impl Target {
    fn show(self) -> String {
        let short = |ratio: f64| (ratio * 100.0).round() / 100.0;
        match self {
            Self::AtLeast(min) => format!(">= {}", short(min)),
            Self::AtMost(max) => format!("<= {}", short(max)),
            Self::OrClientBound { rate, .. } => format!(">= {}", short(rate)),
            Self::MoreIsBetter | Self::LessIsBetter => "-".to_owned(),
        }
    }
}

/// Of the table.
pub(crate) const HEAD: &str = concat!(
    "group    class what                                             highwater  ",
    "peer                                   ratio   target"
);

/// A client that keeps so much of a core busy is taken for the limit.
const BOUND_CORES: f64 = 0.8;
const MIB: f64 = 1_048_576.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: Target, ours: Pass, theirs: Pass) -> Row {
        let classes = (Class::Cached, Class::Lazy);
        Row::of_passes(
            ("group", "what", Unit::Bytes),
            classes,
            ("peer", target),
            (&[ours], &[theirs]),
        )
    }

    fn pass(seconds: f64, client_cpu: f64, server_cpu: f64) -> Pass {
        Pass {
            seconds,
            records: 1024,
            bytes: 1 << 20,
            client_cpu,
            server_cpu: Some(server_cpu),
        }
    }

    #[test]
    fn a_lost_row_says_so() {
        let (fast, slow) = (pass(1.0, 0.5, 0.5), pass(2.0, 0.5, 0.5));
        let verdict = |target, ours, theirs| row(target, ours, theirs).verdict();
        assert_eq!(verdict(Target::AtLeast(2.0), fast, slow), "yes");
        assert_eq!(verdict(Target::AtLeast(2.1), fast, slow), "NO");
        assert_eq!(verdict(Target::AtMost(0.5), slow, fast), "yes");
        assert_eq!(verdict(Target::AtMost(0.4), slow, fast), "NO");
        assert_eq!(verdict(Target::MoreIsBetter, slow, fast), "BEHIND");
        assert_eq!(verdict(Target::LessIsBetter, slow, fast), "ahead");
    }

    #[test]
    fn a_client_counts_as_the_limit_only_while_it_is_busy_and_the_server_cheap() {
        let target = Target::OrClientBound {
            rate: 1.5,
            server_cpu: 0.5,
        };
        let theirs = pass(1.0, 0.9, 0.4);
        for (client_cpu, server_cpu, wanted) in [
            (0.9, 0.2, "yes, client-bound"),
            (0.9, 0.3, "NO"),
            (0.7, 0.2, "NO"),
        ] {
            let row = row(target, pass(1.0, client_cpu, server_cpu), theirs);
            assert_eq!(row.verdict(), wanted, "{client_cpu} and {server_cpu}");
        }
        assert_eq!(row(target, pass(0.5, 0.1, 0.9), theirs).verdict(), "yes");
    }

    #[test]
    fn a_row_shows_both_classes_and_the_cpu_time_of_both_ends() {
        let row = row(
            Target::AtLeast(1.5),
            pass(1.0, 0.001, 0.002),
            pass(2.0, 0.004, 0.004),
        );
        let line = row.line();
        for part in ["1>0", "1.0 MB/s", "0.5 MB/s peer", "2.00", ">= 1.5 yes"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(line.contains("server 2.00 / 4.00 = 0.50"), "{line}");
        assert!(line.contains("client 1.00 / 4.00 = 0.25"), "{line}");
        assert!(row.is_whole());
        let json = row.json();
        assert!(json.contains(r#""class":"1>0""#), "{json}");
        assert!(json.contains(r#""verdict":"yes""#), "{json}");
        let fields = json.trim_matches(['{', '}']).split(',');
        let mut names: Vec<&str> = fields
            .filter_map(|it| Some(it.split_once(':')?.0))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name stands twice: {json}");
    }

    #[test]
    fn a_target_is_told_in_few_digits() {
        assert_eq!(Target::AtLeast(1.0 / 0.75).show(), ">= 1.33");
        assert_eq!(Target::AtMost(0.02).show(), "<= 0.02");
    }

    #[test]
    fn a_ratio_to_nothing_is_no_number() {
        let row = row(
            Target::MoreIsBetter,
            pass(1.0, 0.0, 0.0),
            pass(1.0, 0.0, 0.0),
        );
        assert!(
            row.line().contains("server 0.00 / 0.00 = -"),
            "{}",
            row.line()
        );
        let json = row.json();
        assert!(
            json.contains(r#""client_cpu_ms_a_mib_ratio":null"#),
            "{json}"
        );
        let empty = Row::of_values(
            ("group", "what", Unit::Size),
            ("peer", Target::LessIsBetter),
            (&[1.0], &[]),
        );
        assert!(!empty.is_whole());
    }
}
