//! A checker of the text format of Prometheus, version 0.0.4.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a sample, by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// A text that keeps the rules of the format.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    types: BTreeMap<String, String>,
    samples: Vec<(String, Labels, f64)>,
}

impl Scrape {
    /// Reads a text; fails where it breaks a rule.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends");
        let (mut scrape, mut family) = (Self::default(), String::new());
        let (mut helped, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, family, "HELP and TYPE stand together");
                let known = ["counter", "gauge", "histogram"].contains(&kind);
                assert!(known, "{line}");
                let before = scrape.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "a family stands once: {line}");
            } else {
                let (name, labels, value) = sample(line);
                let kind = &scrape.types[&family];
                let suffix = name.strip_prefix(&family).unwrap_or_else(|| {
                    panic!("{line} stands below another family, {family}");
                });
                let fits = match kind.as_str() {
                    "histogram" => ["_sum", "_count", "_bucket"].contains(&suffix),
                    _ => suffix.is_empty(),
                };
                assert!(fits, "{line} is no {kind}");
                assert!(kind != "counter" || name.ends_with("_total"), "{line}");
                assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
                scrape.samples.push((name, labels, value));
            }
        }
        scrape.check_histograms();
        scrape
    }

    fn check_histograms(&self) {
        for (family, _) in self.types.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut rows: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for (labels, value) in self.all(&format!("{family}_bucket")) {
                let mut labels = labels.clone();
                let bound = number(&labels.remove("le").unwrap());
                rows.entry(labels).or_default().push((bound, value));
            }
            for (labels, buckets) in rows {
                assert!(buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1));
                let (bound, count) = *buckets.last().unwrap();
                assert!(bound.is_infinite());
                assert_eq!(
                    self.value_of(&format!("{family}_count"), &labels),
                    Some(count)
                );
            }
        }
    }

    /// The samples of a name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        let samples = self.samples.iter();
        samples
            .filter(move |(other, _, _)| other == name)
            .map(|(_, labels, value)| (labels, *value))
    }

    /// The families with their types.
    pub(crate) fn families(&self) -> impl Iterator<Item = (&str, &str)> {
        let types = self.types.iter();
        types.map(|(name, kind)| (name.as_str(), kind.as_str()))
    }

    /// The labels of a family's samples, but for the bounds of histograms.
    pub(crate) fn labels_of(&self, family: &str) -> BTreeSet<&str> {
        let is_of = |name: &str| {
            let suffix = name.strip_prefix(family);
            suffix.is_some_and(|suffix| ["", "_sum", "_count", "_bucket"].contains(&suffix))
        };
        let samples = self.samples.iter().filter(|(name, _, _)| is_of(name));
        let labels = samples.flat_map(|(_, labels, _)| labels.keys());
        labels
            .map(String::as_str)
            .filter(|label| *label != "le")
            .collect()
    }

    /// How many values each label has; one that is empty is none.
    pub(crate) fn label_values(&self) -> BTreeMap<&str, usize> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (label, value) in self.samples.iter().flat_map(|(_, labels, _)| labels) {
            // An empty value is no label.
            if !value.is_empty() {
                values.entry(label).or_default().insert(value);
            }
        }
        values
            .into_iter()
            .map(|(label, values)| (label, values.len()))
            .collect()
    }

    /// The value of the sample with these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.value_of(name, &labels.collect())
    }

    fn value_of(&self, name: &str, labels: &Labels) -> Option<f64> {
        self.all(name)
            .find(|(other, _)| *other == labels)
            .map(|(_, value)| value)
    }
}

/// `name{label="value",..} number`.
fn sample(line: &str) -> (String, Labels, f64) {
    let is_name = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !text.starts_with(|c: char| c.is_ascii_digit())
    };
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(is_name(label), "{line}");
            let (value, after) = quoted(after);
            let before = labels.insert(label.to_owned(), value);
            assert_eq!(before, None, "a label stands once: {line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').unwrap();
    (name.to_owned(), labels, number(value))
}

/// The value of a label up to its closing quote, and what follows.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, c @ ('"' | '\\'))) => c,
                other => panic!("{other:?} is not escaped like that"),
            }),
            c => value.push(c),
        }
    }
    panic!("{text:?} has no closing quote");
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        text => text.parse().unwrap(),
    }
}

#[test]
fn a_broken_text_is_refused() {
    let good = "# HELP a Help.\n# TYPE a gauge\na{b=\"c\\\"\\n\"} 1\n";
    assert_eq!(Scrape::parse(good).value("a", &[("b", "c\"\n")]), Some(1.0));
    for bad in [
        "a 1\n",
        "# HELP a Help.\n# TYPE a gauge\nb 1\n",
        "# HELP a Help.\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a Help.\n# TYPE a gauge\na{b=\"c} 1\n",
        "# HELP a Help.\n# TYPE a gauge\na one\n",
        "# HELP a Help.\n# TYPE a counter\na 1\n",
        "# HELP a Help.\n# TYPE a gauge\na 1",
    ] {
        assert!(
            std::panic::catch_unwind(|| Scrape::parse(bad)).is_err(),
            "{bad}"
        );
    }
}
