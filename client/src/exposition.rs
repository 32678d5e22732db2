//! What a program tells Prometheus: the figures of its parts as one text.
//!
//! Floor 1 of client. Pure. Standard: Prometheus's text format 0.0.4.
//!
//! Invariants
//! - A family stands in the text once, with the samples of all parts, as the format asks for.
//! - Any name, label and value gives a text that can be read. Of two labels of one name the later
//!   one stands, a sample's own before that of its part: Prometheus would refuse the whole text.

use std::fmt::{self, Display, Write};

use crate::histogram::Histogram;

/// The figures of a program's parts as one text, for its `/metrics`.
///
/// ```
/// use highwater_client::{Exposition, HandlerCounts, OutboxMetrics};
///
/// let mut text = Exposition::new();
/// text.tell(&[], &OutboxMetrics::default());
/// text.tell(&[("handler", "payments")], &HandlerCounts::default());
/// text.tell(&[("handler", "invoices")], &HandlerCounts::default());
///
/// let text = text.to_string();
/// assert!(text.contains("# TYPE dead_letters_total counter\n"));
/// assert!(text.contains("dead_letters_total{handler=\"invoices\"} 0\n"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    families: Vec<Family>,
}

/// What has figures: those of a relay, an inbox, a handler, an event store, or a program's own.
///
/// ```
/// use highwater_client::{Exposition, Figures, Samples};
///
/// struct Orders {
///     open: u32,
/// }
///
/// impl Figures for Orders {
///     fn tell(&self, samples: &mut Samples<'_>) {
///         samples.gauge("orders_open", "Orders that are not paid", f64::from(self.open));
///     }
/// }
///
/// let mut text = Exposition::new();
/// text.tell(&[("shop", "south")], &Orders { open: 3 });
/// assert!(text.to_string().ends_with("\norders_open{shop=\"south\"} 3\n"));
/// ```
pub trait Figures {
    /// Gives each figure its sample.
    fn tell(&self, samples: &mut Samples<'_>);
}

/// Where one part puts its figures; made by [`Exposition::tell`].
///
/// Names are Prometheus's: letters, digits, `_` and `:`; every other character becomes `_`.
#[derive(Debug)]
pub struct Samples<'a> {
    families: &'a mut Vec<Family>,
    /// Those of the part.
    labels: Labels,
}

/// Names and values, no name twice.
#[derive(Clone, Debug, Default)]
struct Labels(Vec<(String, String)>);

/// The samples of one name.
#[derive(Clone, Debug)]
struct Family {
    name: String,
    what: &'static str,
    kind: &'static str,
    samples: String,
}

impl Exposition {
    /// The media type of the text.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// An empty text.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            families: Vec::new(),
        }
    }

    /// Adds the figures of a part. Parts with the same figures need labels that tell them apart.
    pub fn tell(&mut self, labels: &[(&str, &str)], figures: &impl Figures) {
        let mut all = Labels::default();
        for (name, value) in labels {
            all.set(name, value);
        }
        figures.tell(&mut Samples {
            families: &mut self.families,
            labels: all,
        });
    }
}

impl Display for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for family in &self.families {
            let name = &family.name;
            writeln!(f, "# HELP {name} {}.", family.what)?;
            writeln!(f, "# TYPE {name} {}", family.kind)?;
            f.write_str(&family.samples)?;
        }
        Ok(())
    }
}

impl Samples<'_> {
    /// A number that only grows; its name ends in `_total`.
    pub fn counter(&mut self, name: &str, what: &'static str, value: u64) {
        self.put(name, "", what, "counter", None, value);
    }

    /// As [`Self::counter`], one for each value of a label; the family is told without any, too.
    pub fn counters<'v>(
        &mut self,
        name: &str,
        what: &'static str,
        label: &str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) {
        let kind = "counter";
        self.family(name, what, kind);
        for (value, count) in values {
            self.put(name, "", what, kind, Some((label, value)), count);
        }
    }

    /// A number that rises and falls.
    pub fn gauge(&mut self, name: &str, what: &'static str, value: f64) {
        self.put(name, "", what, "gauge", None, value);
    }

    /// How often which size occurred; sizes of time are in seconds.
    pub fn histogram(&mut self, name: &str, what: &'static str, sizes: &Histogram) {
        let kind = "histogram";
        for (bound, count) in &sizes.buckets {
            let bound = bound.to_string();
            self.put(name, "_bucket", what, kind, Some(("le", &bound)), count);
        }
        let all = Some(("le", "+Inf"));
        self.put(name, "_bucket", what, kind, all, sizes.count);
        self.put(name, "_sum", what, kind, None, sizes.sum);
        self.put(name, "_count", what, kind, None, sizes.count);
    }

    fn put(
        &mut self,
        name: &str,
        suffix: &str,
        what: &'static str,
        kind: &'static str,
        label: Option<(&str, &str)>,
        value: impl Display,
    ) {
        let mut labels = self.labels.clone();
        if let Some((name, value)) = label {
            labels.set(name, value);
        }
        let Family { name, samples, .. } = self.family(name, what, kind);
        // Writing into a string does not fail.
        let _ = writeln!(samples, "{name}{suffix}{labels} {value}");
    }

    fn family(&mut self, name: &str, what: &'static str, kind: &'static str) -> &mut Family {
        let name = legal(name, ":");
        let known = self.families.iter().position(|it| it.name == name);
        let index = known.unwrap_or_else(|| {
            self.families.push(Family {
                name,
                what,
                kind,
                samples: String::new(),
            });
            self.families.len() - 1
        });
        &mut self.families[index]
    }
}

impl Labels {
    fn set(&mut self, name: &str, value: &str) {
        let name = legal(name, "");
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.to_owned()));
    }
}

impl Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}=\"", if index == 0 { '{' } else { ',' })?;
            for character in value.chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    other => f.write_char(other)?,
                }
            }
            f.write_char('"')?;
        }
        f.write_str(if self.0.is_empty() { "" } else { "}" })
    }
}

/// A name of letters, digits, `_` and these characters, that begins with no digit.
fn legal(name: &str, others: &str) -> String {
    let is_legal = |it: char| it.is_ascii_alphanumeric() || it == '_' || others.contains(it);
    let starts_well = name.starts_with(|it: char| is_legal(it) && !it.is_ascii_digit());
    let start = if starts_well { "" } else { "_" };
    let rest = name.chars().map(|it| if is_legal(it) { it } else { '_' });
    start.chars().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(u64);

    impl Figures for Count {
        fn tell(&self, samples: &mut Samples<'_>) {
            samples.counter("calls_total", "Calls", self.0);
            samples.gauge("load", "What is under way", 0.5);
        }
    }

    #[test]
    fn a_family_is_told_once_with_the_samples_of_all_parts() {
        let mut text = Exposition::new();
        text.tell(&[("part", "a")], &Count(1));
        text.tell(&[("part", "b")], &Count(2));
        assert_eq!(
            text.to_string(),
            "# HELP calls_total Calls.\n\
             # TYPE calls_total counter\n\
             calls_total{part=\"a\"} 1\n\
             calls_total{part=\"b\"} 2\n\
             # HELP load What is under way.\n\
             # TYPE load gauge\n\
             load{part=\"a\"} 0.5\n\
             load{part=\"b\"} 0.5\n"
        );
    }

    #[test]
    fn hostile_names_and_labels_stay_within_their_places() {
        struct Hostile;
        impl Figures for Hostile {
            fn tell(&self, samples: &mut Samples<'_>) {
                samples.counter("1 a{b=\"c\"}\n", "Told", 1);
                samples.counter("", "Told", 2);
            }
        }
        let mut text = Exposition::new();
        text.tell(&[("x-y:z", "a\"} 1\nb\\"), ("", "\u{fc}")], &Hostile);
        let labels = "x_y_z=\"a\\\"} 1\\nb\\\\\",_=\"\u{fc}\"";
        let text = text.to_string();
        let samples: Vec<_> = text.lines().filter(|it| !it.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                format!("_1_a_b__c___{{{labels}}} 1"),
                format!("_{{{labels}}} 2")
            ]
        );
    }

    #[test]
    fn no_label_stands_twice() {
        struct Words;
        impl Figures for Words {
            fn tell(&self, samples: &mut Samples<'_>) {
                samples.counters("words_total", "Words", "of-it", [("own", 1)]);
            }
        }
        let mut text = Exposition::new();
        text.tell(&[("x", "1"), ("of_it", "part"), ("x", "2")], &Words);
        let text = text.to_string();
        let sample = text.lines().last();
        assert_eq!(sample, Some("words_total{x=\"2\",of_it=\"own\"} 1"));
    }

    #[test]
    fn a_histogram_has_its_bounds_beside_the_labels_of_the_part() {
        struct Sizes(Histogram);
        impl Figures for Sizes {
            fn tell(&self, samples: &mut Samples<'_>) {
                samples.histogram("sizes", "Sizes", &self.0);
            }
        }
        let mut sizes = Histogram::new(&[1.0, 2.5]);
        for size in [0.5, 2.0, 3.0] {
            sizes.add(size);
        }
        let mut text = Exposition::new();
        text.tell(&[("of", "rows")], &Sizes(sizes));
        assert_eq!(
            text.to_string(),
            "# HELP sizes Sizes.\n\
             # TYPE sizes histogram\n\
             sizes_bucket{of=\"rows\",le=\"1\"} 1\n\
             sizes_bucket{of=\"rows\",le=\"2.5\"} 2\n\
             sizes_bucket{of=\"rows\",le=\"+Inf\"} 3\n\
             sizes_sum{of=\"rows\"} 5.5\n\
             sizes_count{of=\"rows\"} 3\n"
        );
    }
}
