//! The floors of ARCHITECTURE.md against the imports of the code.
//!
//! The table there is the only one: rows `| crate | floor | files |` between the markers
//! `<!-- floors -->` and `<!-- /floors -->`, lowest floor first, and the named edges within a
//! floor between `<!-- edges -->` and `<!-- /edges -->`, rows `| crate | from | to |`.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{self, Source};

/// Crates, lowest first; those of one row do not import each other.
const CRATES: &[&[(&str, &str)]] = &[
    &[("proto", "highwater-proto")],
    &[("log-core", "highwater-log")],
    &[
        ("broker", "highwater-broker"),
        ("client", "highwater-client"),
    ],
];

struct Floors {
    /// (crate, top-level module) to its floor.
    floor: BTreeMap<(String, String), usize>,
    /// (crate, from, to): allowed within one floor.
    edges: BTreeSet<(String, String, String)>,
}

pub(crate) fn upward_imports() -> Vec<String> {
    let floors = Floors::read();
    let mut found = Vec::new();
    let mut imports = 0;
    for source in sources() {
        let (krate, module) = place(&source.path);
        for target in imported_modules(&source.text) {
            imports += 1;
            if !floors.allows(&krate, &module, &target) {
                found.push(format!("{}: {module} imports {target}", source.path));
            }
        }
    }
    assert!(
        imports > 20,
        "only {imports} imports were seen: the parser is blind"
    );
    found
}

pub(crate) fn unplaced_files() -> Vec<String> {
    let floors = Floors::read();
    sources()
        .iter()
        .filter(|source| {
            let (krate, module) = place(&source.path);
            module != "lib" && !floors.floor.contains_key(&(krate, module))
        })
        .map(|source| source.path.clone())
        .collect()
}

/// Files whose header says another floor than ARCHITECTURE.md.
pub(crate) fn wrong_headers() -> Vec<String> {
    let floors = Floors::read();
    sources()
        .iter()
        .filter_map(|source| {
            let (krate, module) = place(&source.path);
            let floor = floors.floor.get(&(krate.clone(), module))?;
            let says = format!("Floor {floor} of {krate}");
            let header = source
                .text
                .lines()
                .take_while(|line| line.starts_with("//!"));
            let is_right = header.into_iter().any(|line| line.contains(&says));
            (!is_right).then(|| format!("{}: its header does not say `{says}`", source.path))
        })
        .collect()
}

pub(crate) fn upward_crates() -> Vec<String> {
    let mut found = Vec::new();
    for (floor, row) in CRATES.iter().enumerate() {
        for (dir, _) in *row {
            let manifest = tree::read(&format!("{dir}/Cargo.toml"));
            let normal = manifest
                .split("[dev-dependencies]")
                .next()
                .unwrap_or_default();
            for (_, above) in CRATES.iter().skip(floor).flat_map(|row| row.iter()) {
                if normal.lines().any(|l| {
                    l.starts_with(&format!("{above}.")) || l.starts_with(&format!("{above} "))
                }) {
                    found.push(format!("{dir} depends on {above}"));
                }
            }
        }
    }
    found
}

/// The files of all crates, and those of the command line, which has floors of its own below
/// `crate::cli`.
fn sources() -> Vec<Source> {
    let has_floor = |path: &str| {
        let crates = CRATES.iter().flat_map(|row| row.iter());
        let mut roots = crates.map(|(dir, _)| format!("{dir}/src/"));
        roots.any(|root| path.starts_with(&root))
            || (path.starts_with(CLI) && path != "src/cli/mod.rs")
    };
    tree::files("rs")
        .into_iter()
        .filter(|s| {
            has_floor(&s.path) && !s.path.ends_with("tests.rs") && !s.path.contains("/tests/")
        })
        .map(|source| match source.path.starts_with(CLI) {
            true => Source {
                text: source.text.replace("crate::cli::", "crate::"),
                ..source
            },
            false => source,
        })
        .collect()
}

const CLI: &str = "src/cli/";

/// The crate's folder, or `cli`, and the top-level module of a file.
fn place(path: &str) -> (String, String) {
    if let Some(rest) = path.strip_prefix(CLI) {
        let module = rest.split('/').next().unwrap_or(rest);
        return ("cli".to_owned(), module.trim_end_matches(".rs").to_owned());
    }
    let (krate, rest) = path.split_once("/src/").expect("a source file lies in src");
    let module = rest
        .split('/')
        .next()
        .unwrap_or(rest)
        .trim_end_matches(".rs");
    (krate.to_owned(), module.to_owned())
}

/// Top-level modules named by `crate::module` outside the inline tests and comments.
fn imported_modules(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for line in code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
    {
        for after in line.split("crate::").skip(1) {
            let name: String = after
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if name.chars().next().is_some_and(char::is_lowercase) {
                found.insert(name);
            }
        }
    }
    found
}

impl Floors {
    fn read() -> Self {
        let text = tree::read("ARCHITECTURE.md");
        let mut floor = BTreeMap::new();
        for [krate, number, modules] in rows(&text, "floors") {
            let number = number
                .trim_start_matches('F')
                .parse()
                .expect("a floor is `F` and a number");
            for module in modules.split(", ") {
                floor.insert((krate.clone(), bare(module)), number);
            }
        }
        let edges = rows(&text, "edges")
            .into_iter()
            .map(|[k, from, to]| (k, bare(&from), bare(&to)))
            .collect();
        assert!(floor.len() > 20, "ARCHITECTURE.md's floors were not found");
        Self { floor, edges }
    }

    fn allows(&self, krate: &str, from: &str, to: &str) -> bool {
        if from == to || from == "lib" {
            return true;
        }
        let floor = |module: &str| self.floor.get(&(krate.to_owned(), module.to_owned()));
        match (floor(from), floor(to)) {
            (Some(from_floor), Some(to_floor)) if to_floor < from_floor => true,
            // A macro or an item of the crate's root is no module.
            (_, None) => true,
            _ => self
                .edges
                .contains(&(krate.to_owned(), from.to_owned(), to.to_owned())),
        }
    }
}

/// A module's name as the tables have it: in backquotes.
fn bare(module: &str) -> String {
    module.trim_matches('`').to_owned()
}

/// The rows of three cells between two markers, without the two header lines.
fn rows(text: &str, marker: &str) -> Vec<[String; 3]> {
    let start = format!("<!-- {marker} -->");
    let end = format!("<!-- /{marker} -->");
    let table = text
        .split(&start)
        .nth(1)
        .and_then(|rest| rest.split(&end).next());
    table
        .unwrap_or_else(|| panic!("ARCHITECTURE.md has no {start}"))
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells: Vec<String> = line
                .trim_matches('|')
                .split('|')
                .map(|c| c.trim().to_owned())
                .collect();
            cells
                .try_into()
                .unwrap_or_else(|cells| panic!("three cells expected: {cells:?}"))
        })
        .collect()
}

#[test]
fn an_import_is_seen() {
    let text = "use crate::log::Log;\nfn f() { crate::view::g() }\n// crate::no\n#[cfg(test)]\nmod t { use crate::x; }";
    let found: Vec<String> = imported_modules(text).into_iter().collect();
    assert_eq!(found, ["log", "view"]);
}
